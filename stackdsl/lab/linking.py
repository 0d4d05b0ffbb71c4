"""The lab's networks as text for `ip -batch`, `nft -f` and `sysctl`: links, routes, NAT, firewalls.

Laws: no I/O. Each script is run with sh inside one network namespace, or before any is entered.
Sources: ip(8), nft(8), Documentation/networking/ip-sysctl.rst.
"""

from collections.abc import Iterable

from stackdsl.lab import layouts, shapes

INTERNET = "internet"
WIRES = "wires"
# Where packets are lost or counted they go one by one: a super-packet of 64 KiB would be lost or
# sent as one.
_ONE_BY_ONE = "gso_max_segs 1"


def namespaces_batch(layout: layouts.Layout) -> str:
    """Return what makes the network namespaces of routers, and the links between them."""
    rows = [f"netns add {name}" for name in (INTERNET, WIRES)]
    rows += [f"netns add {net.namespace}" for net in layout.sites]
    for net in layout.sites:
        if not net.site.is_shaped:
            rows.append(_pair("wan", net.namespace, net.port, INTERNET))
            continue
        inner, outer = shapes.wire_ends(net.number)
        more = _ONE_BY_ONE if net.site.loss or net.site.rate_bps else ""
        rows.append(_pair("wan", net.namespace, inner, WIRES, more))
        rows.append(_pair(net.port, INTERNET, outer, WIRES, more))
    return _lines(rows)


def _pair(name: str, space: str, peer: str, peer_space: str, more: str = "") -> str:
    ours, theirs = f"netns {space}", f"netns {peer_space}"
    return f"link add name {name} {more} {ours} type veth peer name {peer} {more} {theirs}"


def wires_script(layout: layouts.Layout) -> str:
    """Return what brings up the ends of shaped uplinks; nothing there has an address."""
    rows = []
    for net in layout.sites:
        if net.site.is_shaped:
            rows += [f"link set {end} up" for end in shapes.wire_ends(net.number)]
    return _quiet_ipv6() + _batch(rows)


def internet_script(layout: layouts.Layout) -> str:
    """Return what makes the internet one router, which knows no private address."""
    rows = ["link set lo up"]
    for net in layout.sites:
        rows += [f"link set {net.port} up", f"addr replace {net.exchange}/30 dev {net.port}"]
        if not net.site.nat:
            rows.append(f"route replace {net.lan} via {net.wan}")
    return _quiet_ipv6() + _FORWARD + _batch(rows)


def router_script(layout: layouts.Layout, net: layouts.SiteNet) -> str:
    """Return what makes a site's router: its LAN, its uplink, its firewall."""
    rows = ["link set lo up", "link add name lan type bridge forward_delay 0 stp_state 0"]
    rows += [f"addr add {net.gateway}/{net.prefix} dev lan", "link set lan up"]
    rows += [f"addr add {net.wan}/30 dev wan", "link set wan up"]
    rows.append(f"route add default via {net.exchange}")
    # Packets within a LAN pass no router: a switch knows no firewall.
    switch = "/proc/sys/net/bridge/bridge-nf-call-iptables"
    plain = f"if [ -e {switch} ]; then echo 0 >{switch}; fi\n"
    return _quiet_ipv6() + plain + _FORWARD + _batch(rows) + firewall_script(layout, net)


_FORWARD = "echo 1 >/proc/sys/net/ipv4/ip_forward\n"


def firewall_script(layout: layouts.Layout, net: layouts.SiteNet) -> str:
    """Return the router's rules, replacing what was there in one step."""
    rules = list(_filter_rules(net))
    if net.site.nat:
        rules += _nat_rules(layout, net)
    if not rules:
        return ""
    return _feed("nft -f -", ["table ip lab", "delete table ip lab", "table ip lab {", *rules, "}"])


def _filter_rules(net: layouts.SiteNet) -> Iterable[str]:
    is_nat = bool(net.site.nat)
    if not is_nat and not net.site.block_udp:
        return
    yield "chain forward {"
    yield f"type filter hook forward priority 0; policy {'drop' if is_nat else 'accept'};"
    if net.site.block_udp:
        yield "meta l4proto udp drop"
    if is_nat:
        # What conntrack cannot place would pass untranslated.
        yield "ct state invalid drop"
        yield "ct state established,related accept"
        yield "ct status dnat accept"
        yield 'iifname "lan" oifname "wan" accept'
    yield "}"
    if not is_nat:
        return
    # Dropped, not refused: an answer, or an entry of conntrack, would give the router away and
    # take the port from the LAN.
    yield "chain input {"
    yield "type filter hook input priority 0; policy drop;"
    yield "ct state established,related accept"
    yield 'iifname { "lan", "lo" } accept'
    yield "}"


def _nat_rules(layout: layouts.Layout, net: layouts.SiteNet) -> Iterable[str]:
    flags = " random,fully-random" if net.site.nat == "symmetric" else ""
    yield "chain post {"
    yield "type nat hook postrouting priority 100;"
    yield f'oifname "wan" masquerade{flags}'
    yield "}"
    asked = [one for one in layout.of_site(net.site.name) if one.ssh[1] != 22]
    if not asked:
        return
    # The one thing that was asked for: the controller's own network may come in to the sshds.
    caller = layout.controller.public
    yield "chain pre {"
    yield "type nat hook prerouting priority -100;"
    for one in asked:
        reached = f'iifname "wan" ip saddr {caller} tcp dport {one.ssh[1]}'
        yield f"{reached} dnat to {one.address}:22"
    yield "}"


def plug_batch(layout: layouts.Layout, nets: Iterable[layouts.HostNet]) -> str:
    """Return what makes hosts' network namespaces and plugs them into their switches."""
    rows = []
    for net in nets:
        router = layout.site(net.host.site).namespace
        rows.append(f"netns add {net.namespace}")
        # The same card after each power on: neighbours remember it for 40 s.
        plugged = f"link add name eth0 address {net.mac} netns {net.namespace} type veth"
        rows.append(f"{plugged} peer name {net.port} netns {router}")
    return _lines(rows)


def switch_batch(nets: Iterable[layouts.HostNet]) -> str:
    """Return what joins hosts' ports to the LAN; run in the router's namespace."""
    return _lines(f"link set {net.port} master lan up" for net in nets)


def unplug_batch(layout: layouts.Layout, net: layouts.HostNet) -> str:
    """Return what takes a host's network away."""
    router = layout.site(net.host.site).namespace
    return _lines([f"link del dev {net.port}"]) if router else ""


def host_script(layout: layouts.Layout, net: layouts.HostNet) -> str:
    """Return what gives a host its address and its way out; can be run again after a move."""
    site = layout.site(net.host.site)
    rows = ["link set lo up", "link set eth0 up", "addr flush dev eth0"]
    rows += [f"addr add {net.address}/{site.prefix} brd + dev eth0"]
    rows.append(f"route replace default via {site.gateway}")
    return _quiet_ipv6() + _batch(rows)


def block_script(ports: Iterable[int]) -> str:
    """Return what drops packets to ports of a host, those that Docker publishes too, and nothing
    else any longer."""
    rows = ["table inet lab_block", "delete table inet lab_block"]
    numbers = ", ".join(str(port) for port in sorted(set(ports)))
    if numbers:
        rows += ["table inet lab_block {", "chain pre {"]
        rows.append("type filter hook prerouting priority -310;")
        rows.append(f'iifname "eth0" meta l4proto {{ tcp, udp }} th dport {{ {numbers} }} drop')
        rows += ["}", "}"]
    return _feed("nft -f -", rows)


def move_uplink_scripts(
    before: layouts.SiteNet, after: layouts.SiteNet
) -> tuple[tuple[str, str], ...]:
    """Return what gives a site's uplink its new addresses: (namespace, script) pairs."""
    outside = [f"addr del {before.exchange}/30 dev {before.port}"]
    outside.append(f"addr add {after.exchange}/30 dev {after.port}")
    if not after.site.nat:
        outside.append(f"route replace {after.lan} via {after.wan}")
    inside = [f"addr del {before.wan}/30 dev wan", f"addr add {after.wan}/30 dev wan"]
    inside.append(f"route replace default via {after.exchange}")
    return ((INTERNET, _batch(outside)), (after.namespace, _batch(inside)))


def _quiet_ipv6() -> str:
    """Return what keeps IPv6 out: the lab is one of IPv4."""
    path = "/proc/sys/net/ipv6/conf"
    return f"for each in all default; do echo 1 >{path}/$each/disable_ipv6; done 2>/dev/null\n"


def _batch(rows: Iterable[str]) -> str:
    return _feed("ip -batch -", rows)


def _feed(program: str, rows: Iterable[str]) -> str:
    return f"{program} <<'END'\n{_lines(rows)}END\n"


def _lines(rows: Iterable[str]) -> str:
    return "".join(f"{row}\n" for row in rows)
