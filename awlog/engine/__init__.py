"""The service: order and time. Owns every task, thread and process; `Engine` is the one object that api and cli hold."""
