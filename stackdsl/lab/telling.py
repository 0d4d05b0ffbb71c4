"""A living lab in words: as a table for people, as JSON for programs.

Laws: no I/O; what is told is a layout, and what the keeper answers to "status".
"""

from collections.abc import Mapping, Sequence
from typing import Any

from stackdsl.lab import drawing, layouts, topologies


def format_up(name: str, topology: topologies.Topology, took_s: float) -> str:
    """Return one line about a lab that has come up."""
    sites, hosts = len(topology.sites), len(topology.hosts)
    return f"lab {name}: {_count(sites, 'site')}, {_count(hosts, 'host')}, up in {took_s:.1f} s"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")


def format_lab(name: str, layout: layouts.Layout, now: Mapping[str, Any]) -> str:
    """Return a lab as text: its sites, and a row for each host."""
    lines = [f"lab {name}"]
    for net in layout.sites:
        site = net.site
        words = [drawing.describe_uplink(site), f"{net.lan} behind {net.wan}"]
        words += ["CUT"] if f"site:{site.name}" in now["cut"] else []
        lines.append(f"  {site.name}  {'; '.join(words)}")
        rows = [_row(one, now) for one in layout.of_site(site.name)]
        lines += [f"    {row}" for row in _align(rows)]
    return "\n".join(lines)


def _row(net: layouts.HostNet, now: Mapping[str, Any]) -> tuple[str, ...]:
    name = net.host.name
    state = "up" if name in now["powered"] else "off"
    words = [drawing.describe_host(net.host)]
    words += ["CUT"] if name in now["cut"] else []
    ports = now["blocked"].get(name, ())
    words += [f"blocked: {', '.join(map(str, ports))}"] if ports else []
    return name, state, net.address, "; ".join(word for word in words if word)


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(4)] if rows else []
    return [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def lab_json(
    name: str, folder: str, layout: layouts.Layout, now: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a lab as JSON values."""
    return {
        "lab": name,
        "file": layout.topology.file,
        "folder": folder,
        "shaper": now["shaper"],
        "sites": [
            {
                "name": net.site.name,
                "nat": net.site.nat,
                "lan": net.lan,
                "public": net.wan,
                "block_udp": net.site.block_udp,
                "delay_s": net.site.delay_s,
                "jitter_s": net.site.jitter_s,
                "loss": net.site.loss,
                "rate_bps": net.site.rate_bps,
                "is_cut": f"site:{net.site.name}" in now["cut"],
            }
            for net in layout.sites
        ],
        "hosts": [
            {
                "name": net.host.name,
                "site": net.host.site,
                "address": net.address,
                "ssh": f"{net.ssh[0]}:{net.ssh[1]}",
                "user": net.host.user,
                "state": "up" if net.host.name in now["powered"] else "off",
                "is_cut": net.host.name in now["cut"],
                "blocked": list(now["blocked"].get(net.host.name, ())),
            }
            for net in layout.hosts
        ],
    }
