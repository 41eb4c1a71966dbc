# What I Hate Money reads its settings from: its database is where the server is told to have one.
import os

SQLALCHEMY_DATABASE_URI = f"sqlite:///{os.environ['DB_FILE']}"
SECRET_KEY = "for a test"
SESSION_COOKIE_SECURE = False
MAIL_SUPPRESS_SEND = True
