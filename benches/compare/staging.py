"""A staging that is no good: it never answers, or answers ever so slowly. `python3 staging.py PORT hung|PER_SECOND`"""

import asyncio
import sys

BODY = b'{"status": "accepted"}'
ANSWER = (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)) + BODY


async def requests(reader):
    """Yields once for each request, when all of it has come."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                await reader.readexactly(int(line.split(b":")[1]))
        yield


async def main(port, speed):
    turn = asyncio.Lock()

    async def serve(reader, writer):
        try:
            async for _ in requests(reader):
                if speed == "hung":
                    continue
                async with turn:
                    await asyncio.sleep(1 / float(speed))
                writer.write(ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
