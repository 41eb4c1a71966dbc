"""What is served of pandas and matplotlib: tables, files and pictures."""

import io
import tempfile
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from flask import Flask, Response, jsonify, send_file
from matplotlib.figure import Figure

mpl.use("Agg")
app = Flask(__name__)
SALES = pd.DataFrame(
    {"day": pd.date_range("2026-01-01", periods=100), "sold": range(100), "shop": list("ab") * 50}
)


@app.get("/groups")
def groups() -> Response:
    found = SALES.groupby("shop").agg(total=("sold", "sum"), mean=("sold", "mean"))
    return Response(found.to_json(), mimetype="application/json")


@app.get("/weeks")
def weeks() -> str:
    return SALES.set_index("day")["sold"].resample("W").sum().to_json(date_format="iso")


@app.get("/now")
def now() -> Response:
    return jsonify(str(pd.Timestamp.now()), str(pd.to_datetime("today")), str(pd.Timestamp.now("UTC")))


@app.get("/sample")
def sample() -> str:
    return SALES.sample(5).to_html()


@app.get("/file")
def file() -> Response:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sales.csv"
        SALES.sample(50).to_csv(path)
        packed = Path(folder) / "sales.pickle"
        SALES.to_pickle(packed)
        return jsonify(int(pd.read_csv(path).sold.sum()), int(pd.read_pickle(packed).sold.sum()))


@app.get("/plot.<kind>")
def plot(kind: str) -> Response:
    figure = Figure(figsize=(3, 2))
    axes = figure.subplots()
    axes.plot(np.random.random(20))  # noqa: NPY002 - what people write
    axes.set_title("sold")
    out = io.BytesIO()
    figure.savefig(out, format=kind)
    out.seek(0)
    return send_file(out, mimetype=f"image/{kind}")


if __name__ == "__main__":
    app.run()
