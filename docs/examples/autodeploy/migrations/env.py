import os

import sqlalchemy
from alembic import context

with sqlalchemy.create_engine(os.environ["DATABASE_URL"]).connect() as connection:
    context.configure(connection=connection)
    # all pending revisions in one transaction: all or none
    with context.begin_transaction():
        context.run_migrations()
