"""Addresses of a lab, who reaches whom under which, and the text that routers are made of."""

import ipaddress

from stackdsl.lab import Lab, accounts, drawing, layouts, linking, loading


def lay_out(lab: Lab, moves: layouts.Moves | None = None) -> layouts.Layout:
    return layouts.lay_out(loading.load(lab), moves or layouts.Moves())


def make_three() -> Lab:
    lab = Lab()
    for name, nat in (("home", "preserving"), ("flat", "symmetric")):
        lab.site(name, nat=nat, subnet="192.168.1.0/24").host(f"{name}-1")
    cloud = lab.site("cloud")
    cloud.host("w1")
    cloud.host("w2")
    return lab


def test_sites_with_the_same_net_give_the_same_addresses() -> None:
    layout = lay_out(make_three())

    assert layout.host("home-1").address == layout.host("flat-1").address == "192.168.1.10"


def test_public_addresses_look_public_to_any_program() -> None:
    layout = lay_out(make_three())

    for address in (layout.host("w1").address, layout.host("flat-1").public):
        assert ipaddress.ip_address(address).is_global


def test_the_controller_reaches_its_own_site_and_public_hosts_at_port_22() -> None:
    layout = lay_out(make_three())

    assert layout.host("home-1").ssh == ("192.168.1.10", 22)
    assert layout.host("w2").ssh == (layout.host("w2").address, 22)


def test_the_controller_reaches_hosts_behind_other_routers_at_a_port_of_the_router() -> None:
    layout = lay_out(make_three())

    address, port = layout.host("flat-1").ssh

    assert address == layout.site("flat").wan
    assert port != 22


def test_a_name_leads_to_the_host_within_its_site_and_to_its_router_from_elsewhere() -> None:
    layout = lay_out(make_three())

    assert "192.168.1.10 home-1" in layouts.hosts_file(layout, "controller")
    assert f"{layout.site('flat').wan} flat-1" in layouts.hosts_file(layout, "controller")


def test_every_name_of_the_lab_is_in_every_hosts_file() -> None:
    layout = lay_out(make_three())

    for host in layout.hosts:
        text = layouts.hosts_file(layout, host.host.name)
        assert all(f" {other.host.name}\n" in text for other in layout.hosts)


def test_a_small_net_holds_hosts_too() -> None:
    lab = Lab()
    site = lab.site("a", subnet="8.8.8.0/29")
    for name in ("h1", "h2", "h3", "h4"):
        site.host(name)

    addresses = [host.address for host in lay_out(lab).hosts]

    assert addresses == [f"8.8.8.{number}" for number in (2, 3, 4, 5, 6)]


def test_no_interface_is_named_longer_than_the_kernel_takes() -> None:
    lab = Lab()
    lab.site("a-site-with-a-long-name").host("a-host-with-a-long-name")
    layout = lay_out(lab)

    assert all(len(host.port) <= 15 for host in layout.hosts)
    assert all(len(site.port) <= 15 for site in layout.sites)


def test_a_host_that_moved_is_known_under_its_new_address() -> None:
    layout = lay_out(make_three(), layouts.Moves(hosts={"w1": "44.128.3.77"}))

    assert "44.128.3.77 w1" in layouts.hosts_file(layout, "home-1")
    assert "HostName 44.128.3.77" in accounts.ssh_config(layout)


def test_an_uplink_that_moved_has_another_public_address() -> None:
    before, after = lay_out(make_three()), lay_out(make_three(), layouts.Moves(uplinks={"flat": 1}))

    assert before.site("flat").wan != after.site("flat").wan
    assert before.site("flat").lan == after.site("flat").lan


def test_only_the_controllers_network_may_come_in_to_the_sshds() -> None:
    layout = lay_out(make_three())

    rules = linking.firewall_script(layout, layout.site("flat"))

    assert f"ip saddr {layout.site('home').wan} tcp dport" in rules
    assert "dport" not in linking.firewall_script(layout, layout.site("home"))


def test_a_public_site_has_no_firewall_but_what_was_asked_for() -> None:
    lab = make_three()
    lab.site("dull", block_udp=True)
    layout = lay_out(lab)

    assert linking.firewall_script(layout, layout.site("cloud")) == ""
    assert "udp drop" in linking.firewall_script(layout, layout.site("dull"))


def test_a_lab_is_drawn_with_every_host_on_its_router() -> None:
    view = drawing.view_lab(lay_out(make_three()))

    assert ("w1", "router-cloud") in {(edge.source, edge.target) for edge in view.edges}
    assert {"internet", "host:home", "router-flat", "controller"} <= {n.id for n in view.nodes}


def test_an_uplink_is_described_in_a_few_words() -> None:
    site = Lab().site("far", nat="symmetric", block_udp=True, delay="50ms", jitter="5ms",
                      loss="2%", rate="20Mbit").lab  # fmt: skip

    assert drawing.describe_uplink(loading.load(site).sites[0]) == (
        "symmetric NAT, no UDP, 50 ms ± 5 ms, 2 % lost, 20 Mbit/s"
    )
