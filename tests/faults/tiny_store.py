"""The smallest durable server: one LMDB write for each receive, then an answer. Its record tests `trace.py`.

Run as a program: DIRECTORY MODE. Prints its port, serves one connection, ends with it. MODE "sync" keeps promise D1;
the others break it in ways that a record must show: "nosync" never syncs, "early" answers before the commit.
"""

from __future__ import annotations

import socket
import sys
import threading

import lmdb


def main(directory: str, mode: str) -> None:
    store = lmdb.open(directory, map_size=1 << 20)

    def put(value: bytes) -> None:
        with store.begin(write=True) as transaction:
            transaction.put(b"key", value)

    put(b"first")
    if mode == "nosync":
        store.close()
        store = lmdb.open(directory, map_size=1 << 20, sync=False)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        client, _ = listener.accept()
    while request := client.recv(1000):
        committer = threading.Thread(target=put, args=(request,))
        if mode != "early":
            committer.start()
            committer.join()
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        if mode == "early":
            committer.start()
            committer.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
