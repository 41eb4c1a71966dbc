"""Quotes that another service gives, kept in Redis."""

import logging
import os
import time

import redis
import requests
from flask import Flask, jsonify, request

app = Flask(__name__)
cache = redis.Redis(port=int(os.environ["REDIS"]), decode_responses=True)
log = logging.getLogger(__name__)
SERVICE = f"http://127.0.0.1:{os.environ['HTTP']}"


def fetched(name):
    return requests.get(f"{SERVICE}/quote/{name}", timeout=30).text


@app.get("/quotes/<name>")
def quote(name):
    found = cache.get(f"quote:{name}")
    if found is None:
        found = fetched(name)
        cache.set(f"quote:{name}", found, ex=600)
    cache.incr("asked")
    return {"name": name, "quote": found}


@app.delete("/quotes/<name>")
def forget(name):
    return {"gone": cache.delete(f"quote:{name}")}


@app.post("/orders")
def order():
    body = request.get_json()
    if body["quantity"] <= 0:
        return {"error": "quantity"}, 400
    answer = requests.post(f"{SERVICE}/order", json=body, timeout=30)
    cache.rpush("orders", f"{body['name']} {body['quantity']}")
    return {"answer": answer.text, "at": time.time()}, 201


@app.get("/orders")
def orders():
    return jsonify(cache.lrange("orders", -3, -1), cache.llen("orders"))


if __name__ == "__main__":
    app.run()
