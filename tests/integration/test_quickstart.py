"""The README's first command, once everything is built: its table and its metrics."""

import re
import subprocess

from tome_server import ROOT


def test_quickstart_shows_each_photograph_at_each_r_and_stops_what_it_started():
    ran = subprocess.run([ROOT / "deploy/quickstart.sh"], capture_output=True, text=True, timeout=900)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    photos = {path.name for path in (ROOT / "deploy/photos").glob("*.[jp][pn]g")}
    rows = [line for line in ran.stdout.splitlines() if any(photo in line for photo in photos)]
    assert len(rows) == 5 * len(photos), ran.stdout
    assert re.search(r'tome_requests_total\{.*code="OK".*\} [1-9]', ran.stdout), ran.stdout
    assert 'model="clipart"' in ran.stdout, ran.stdout
    running = subprocess.run(["pgrep", "-f", "tome-server --listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0 --drain"])
    assert running.returncode == 1
