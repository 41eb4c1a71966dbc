"""A site for browsers: a page with styles, scripts and pictures, which gets and posts by fetch()."""

from __future__ import annotations

import time

from flask import Flask, Response, jsonify, make_response, request

app = Flask(__name__)
posted: list[float] = []
SCRIPT = """
(async () => {
  const got = await Promise.all([1, 2, 3, 4].map(n => fetch(`/item/${n}?at=${n}`).then(r => r.json())));
  const sent = await Promise.all([1, 2, 3].map(n => fetch("/item", {method: "POST", body: String(n)})));
  document.title = `got ${got.length} posted ${sent.filter(one => one.ok).length}`;
})();
"""


@app.get("/")
def page() -> Response:
    """Return the page, and a cookie."""
    pictures = "".join(f'<img src="/picture/{number}.svg">' for number in range(4))
    head = '<title>loading</title><link rel="stylesheet" href="/style.css">'
    answer = make_response(f"<!doctype html>{head}<body>{pictures}<script src='/script.js'></script>")
    answer.set_cookie("visit", str(time.time()))
    return answer


@app.get("/style.css")
def style() -> Response:
    """Return the style sheet."""
    return Response("body { color: black }", mimetype="text/css")


@app.get("/script.js")
def script() -> Response:
    """Return the script."""
    return Response(SCRIPT, mimetype="text/javascript")


@app.get("/picture/<int:number>.svg")
def picture(number: int) -> Response:
    """Return a picture."""
    circle = f'<circle r="{number + 1}"/>'
    return Response(f'<svg xmlns="http://www.w3.org/2000/svg">{circle}</svg>', mimetype="image/svg+xml")


@app.get("/item/<int:number>")
def item(number: int) -> Response:
    """Return one item, with the time."""
    return jsonify(number=number, at=time.time(), posted=len(posted), cookie=request.cookies.get("visit"))


@app.post("/item")
def post() -> Response:
    """Keep what was posted."""
    posted.append(time.time())
    return jsonify(body=request.get_data(as_text=True), count=len(posted))


if __name__ == "__main__":
    app.run(threaded=True)
