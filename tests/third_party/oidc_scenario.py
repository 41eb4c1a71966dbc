"""Users that log in with OpenID Connect: keys, clients, codes, tokens, and a code that is used twice."""

from urllib.parse import parse_qs, urlsplit

from loadgen import User, scenario

BACK = "http://shop.test/back"


@scenario
async def log_in(user: User) -> None:
    http = user.http
    await http.get("/.well-known/openid-configuration")
    await http.get("/jwks")
    made = (await http.post("/oauth2/clients", json={"redirect_uris": [BACK]})).json()
    who, secret = made["client_id"], made["client_secret"]
    await http.put(f"/users/{user.id}", json={"name": f"user {user.id}"})
    asked = {"client_id": who, "redirect_uri": BACK, "response_type": "code", "scope": "openid", "nonce": "n"}
    await http.get("/oauth2/authorize", params=asked)
    allowed = await http.post("/oauth2/authorize", params=asked, data={"sub": str(user.id)})
    code = parse_qs(urlsplit(allowed.headers["location"]).query)["code"][0]
    exchanged = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK}
    tokens = (await http.post("/oauth2/token", data=exchanged, auth=(who, secret))).json()
    assert tokens["id_token"].count(".") == 2
    await http.get("/userinfo", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    await http.get("/userinfo", headers={"Authorization": "Bearer wrong"})
    await http.post("/oauth2/token", data=exchanged, auth=(who, secret))  # 400: it was used
