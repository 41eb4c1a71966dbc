"""Orders of products: Flask-SQLAlchemy on PostgreSQL, with a foreign key, a join and a transaction."""

import logging
import os
import time

from flask import Flask, abort, jsonify, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import func, select

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = (
    f"postgresql+psycopg2://postgres@127.0.0.1:{os.environ['PORT']}/postgres"
)
db = SQLAlchemy(app)
log = logging.getLogger(__name__)


class Product(db.Model):
    """A product, of which there is a stock."""

    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String(80), nullable=False)
    price = db.Column(db.Integer, nullable=False)
    stock = db.Column(db.Integer, nullable=False)


class Order(db.Model):
    """An order of some of one product."""

    id = db.Column(db.Integer, primary_key=True)
    product_id = db.Column(db.Integer, db.ForeignKey("product.id"), nullable=False)
    quantity = db.Column(db.Integer, nullable=False)
    at = db.Column(db.Float, nullable=False)
    product = db.relationship(Product)


with app.app_context():
    db.drop_all()
    db.create_all()


def of_product(product):
    return {"id": product.id, "name": product.name, "price": product.price, "stock": product.stock}


@app.get("/products")
def products():
    found = db.session.scalars(select(Product).order_by(Product.id)).all()
    return jsonify([of_product(one) for one in found])


@app.get("/products/<int:number>")
def product(number):
    found = db.session.get(Product, number)
    if found is None:
        abort(404)
    return of_product(found)


@app.post("/products")
def add_product():
    body = request.get_json()
    if not body.get("name") or body.get("price", 0) <= 0:
        abort(400)
    new = Product(name=body["name"], price=body["price"], stock=body.get("stock", 10))
    db.session.add(new)
    db.session.commit()
    return of_product(new), 201


@app.post("/orders")
def add_order():
    body = request.get_json()
    found = db.session.get(Product, body["product_id"])
    if found is None:
        abort(404)
    if found.stock < body["quantity"]:
        abort(409)
    found.stock -= body["quantity"]
    new = Order(product_id=found.id, quantity=body["quantity"], at=time.time())
    db.session.add(new)
    db.session.commit()
    return {"id": new.id, "product": found.name, "quantity": new.quantity, "at": new.at}, 201


@app.get("/orders/<int:number>")
def order(number):
    found = db.session.get(Order, number)
    if found is None:
        abort(404)
    return {"id": found.id, "product": found.product.name, "quantity": found.quantity}


@app.get("/sales")
def sales():
    total = select(func.count(), func.coalesce(func.sum(Order.quantity * Product.price), 0)).join(Product)
    number, value = db.session.execute(total).one()
    return {"orders": number, "value": value}


if __name__ == "__main__":
    app.run()
