"""db.py upgrade REVISION, or db.py current --check-heads

What `alembic` itself does from 1.17.1 on, for older ones, whose `current` ends with 0 whatever it finds.
"""

import os
import sys

import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory


def check_heads(config):
    wanted = set(ScriptDirectory.from_config(config).get_heads())
    with sqlalchemy.create_engine(os.environ["DATABASE_URL"]).connect() as connection:
        present = set(MigrationContext.configure(connection).get_current_heads())
    if wanted != present:
        sys.exit(f"the database is at {' '.join(sorted(present)) or 'nothing'}, the code wants {' '.join(sorted(wanted))}")
    print(f"at {' '.join(sorted(present))}")


def main(words):
    config = Config(os.path.join(os.path.dirname(os.path.abspath(__file__)), "alembic.ini"))
    if len(words) == 2 and words[0] == "upgrade":
        command.upgrade(config, words[1])
    elif words == ["current", "--check-heads"]:
        check_heads(config)
    else:
        sys.exit(__doc__)


main(sys.argv[1:])
