"""What is taken from aiozk, which carries no types: message formats and the client facade, here as `Any`."""

# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false
from typing import Any

import aiozk
import aiozk.features
import aiozk.protocol
import aiozk.states

__all__ = ["Features", "States", "ZKClient", "protocol"]

protocol: Any = aiozk.protocol
ZKClient: Any = aiozk.ZKClient
Features: Any = aiozk.features.Features
States: Any = aiozk.states.States
