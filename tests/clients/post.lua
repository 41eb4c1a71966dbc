-- wrk: the same POST again and again
wrk.method = "POST"
wrk.body = '{"name": "user", "email": "user@example.com"}'
wrk.headers["Content-Type"] = "application/json"
