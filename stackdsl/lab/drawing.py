"""A topology as a graph to draw: sites as groups, their routers and hosts, the internet."""

from stackdsl.lab import layouts, shapes, topologies
from stackdsl.model import graphs

INTERNET = "internet"


def view_lab(layout: layouts.Layout) -> graphs.GraphView:
    """Return a lab's nets as a graph: every host hangs on its router, every router on the
    internet."""
    nodes = [graphs.GraphNode(id=INTERNET, kind="internet")]
    edges = []
    for net in layout.sites:
        site = net.site.name
        router = f"router-{site}"
        nodes.append(graphs.GraphNode(id=f"host:{site}", kind="host", address=net.lan))
        nodes.append(graphs.GraphNode(id=router, kind="router", host=site, address=net.wan))
        edges.append(graphs.GraphEdge(source=f"host:{site}", target=router, kind="runs"))
        words = describe_uplink(net.site)
        # from the router for pictures, from the site for trees
        edges += [
            graphs.GraphEdge(source=end, target=INTERNET, kind="uplink", address=words)
            for end in (router, f"host:{site}")
        ]
    for one in layout.hosts:
        site, name = one.host.site, one.host.name
        nodes.append(graphs.GraphNode(id=name, kind="machine", host=site, address=one.address))
        edges.append(graphs.GraphEdge(source=f"host:{site}", target=name, kind="runs"))
        edges.append(graphs.GraphEdge(source=name, target=f"router-{site}", kind="lan"))
    return graphs.GraphView(
        name=layout.topology.name,
        kind="topology",
        nodes=tuple(sorted(nodes, key=lambda node: node.id)),
        edges=tuple(sorted(edges, key=lambda edge: (edge.source, edge.target))),
    )


def describe_uplink(site: topologies.Site) -> str:
    """Return a site's router and uplink in a few words."""
    words = [f"{site.nat} NAT" if site.nat else "public"]
    if site.block_udp:
        words.append("no UDP")
    shape = shapes.of_site(site)
    if shape.delay_s:
        jitter = f" ± {_ms(shape.jitter_s)}" if shape.jitter_s else ""
        words.append(f"{_ms(shape.delay_s)}{jitter}")
    if shape.loss:
        words.append(f"{shape.loss * 100:g} % lost")
    if shape.rate_bps:
        words.append(f"{shape.rate_bps / 1e6:g} Mbit/s")
    return ", ".join(words)


def describe_host(host: topologies.Host) -> str:
    """Return what is special about a host in a few words."""
    words = [] if host.user == "root" else [host.user if host.sudo else f"{host.user} without sudo"]
    words += ["docker"] if host.docker else []
    words += [] if host.tun else ["no tun"]
    words += [] if host.python else ["no python"]
    if host.disk_bytes is not None:
        words.append(f"disk of {host.disk_bytes / (1 << 20):g} MiB")
    return ", ".join(words)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:g} ms"
