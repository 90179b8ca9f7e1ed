"""What was released where: one page, and /health."""

import os

from flask import Flask, jsonify
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import exc, func, text

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
# connections that a restart of the database has broken are found before they are used
app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"pool_pre_ping": True}
db = SQLAlchemy(app)


class Target(db.Model):
    __tablename__ = "targets"
    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String(100), nullable=False, unique=True)


class Release(db.Model):
    __tablename__ = "releases"
    id = db.Column(db.Integer, primary_key=True)
    target_id = db.Column(db.ForeignKey("targets.id"), nullable=False)
    version = db.Column(db.String(40), nullable=False)
    released_at = db.Column(db.DateTime(timezone=True), nullable=False, server_default=func.now())


@app.get("/")
def index():
    return jsonify(targets=[target.name for target in Target.query.order_by(Target.name)], releases=Release.query.count())


@app.get("/health")
def health():
    """200 only when the database answers and holds the schema this code was written for."""
    try:
        db.session.execute(text("SELECT FROM targets LIMIT 1"))
    except exc.SQLAlchemyError as error:
        return jsonify(status="unhealthy", database=type(error).__name__), 500
    return jsonify(status="healthy")
