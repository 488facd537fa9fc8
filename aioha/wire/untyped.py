"""What is taken from aiozk, which carries no types: message formats and the client facade, here as `Any`."""

# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false
from typing import Any

import aiozk
import aiozk.features
import aiozk.protocol
import aiozk.protocol.transaction
import aiozk.states

__all__ = ["Features", "MultiHeader", "States", "ZKClient", "protocol"]

protocol: Any = aiozk.protocol
MultiHeader: Any = aiozk.protocol.transaction.MultiHeader
ZKClient: Any = aiozk.ZKClient
Features: Any = aiozk.features.Features
States: Any = aiozk.states.States
