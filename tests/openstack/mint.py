"""Prints two tokens made with Keystone's own formatter and keys: one valid, one expired an hour ago.

    mint.py STATE_DIR USER_ID PROJECT_ID fernet|jws
"""
import base64
import datetime
import os
import sys

import keystone.conf
from keystone.common import utils

state, user, project, provider = sys.argv[1:]
keystone.conf.configure()
keystone.conf.CONF([], project="keystone", default_config_files=[f"{state}/keystone/keystone.conf"])
for hours in (1, -1):
    moment = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) + datetime.timedelta(hours=hours)
    claims = {
        "user_id": user, "project_id": project, "methods": ["password"],
        "expires_at": utils.isotime(moment, subsecond=True),
        "audit_ids": [base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")],
    }
    if provider == "fernet":
        from keystone.token import token_formatters
        token = token_formatters.TokenFormatter().create_token(
            payload_class=token_formatters.ProjectScopedPayload, **claims)
    else:
        from keystone.token.providers.jws import core
        token, _issued_at = core.JWSFormatter().create_token(**claims)
    print(token)
