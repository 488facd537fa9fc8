"""Programs that do one thing and end."""

import asyncio

__all__ = ["run"]


async def run(*command: str, text: str = "") -> str:
    """Its output; raises `RuntimeError` with what it said if it failed."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate(text.encode())
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: {errors.decode().strip()}")
    return output.decode()
