"""Ethernet frames made by hand, whole or broken, and a packet socket to send and see them."""
import fcntl
import random
import socket
import struct

from netlab import GUEST, GUEST6, HOST, HOST6, TAP

ETH_IP4, ETH_ARP, ETH_IP6 = 0x0800, 0x0806, 0x86dd
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
SIOCGIFHWADDR = 0x8927


def csum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ip4(address):
    return socket.inet_aton(address)


def ip6(address):
    return socket.inet_pton(socket.AF_INET6, address)


def ipv4(protocol, payload, source=HOST, to=GUEST, ident=1, fragment=0, options=b""):
    """A header with its sum, and the payload. fragment: flags and offset as in the header."""
    head = struct.pack(">BBHHHBBH4s4s", 0x45 + len(options) // 4, 0, 20 + len(options) + len(payload), ident, fragment,
                       64, protocol, 0, ip4(source), ip4(to)) + options
    return head[:10] + struct.pack(">H", csum(head)) + head[12:] + payload


def ipv6(protocol, payload, source=HOST6, to=GUEST6):
    return struct.pack(">IHBB16s16s", 6 << 28, len(payload), protocol, 255, ip6(source), ip6(to)) + payload


def with_sum(protocol, segment, at, source, to):
    pseudo = ip4(source) + ip4(to) + struct.pack(">BBH", 0, protocol, len(segment))
    return segment[:at] + struct.pack(">H", csum(pseudo + segment) or 0xffff) + segment[at + 2:]


def tcp(port, to_port, flags, seq=0, ack=0, data=b"", options=b"", window=65535, source=HOST, to=GUEST):
    segment = struct.pack(">HHIIBBHHH", port, to_port, seq & 0xffffffff, ack & 0xffffffff,
                          (5 + len(options) // 4) << 4, flags, window, 0, 0) + options + data
    return ipv4(6, with_sum(6, segment, 16, source, to), source, to)


def udp(port, to_port, data, source=HOST, to=GUEST):
    return ipv4(17, with_sum(17, struct.pack(">HHHH", port, to_port, 8 + len(data), 0) + data, 6, source, to), source, to)


def icmp(kind, code, rest):
    message = struct.pack(">BBH", kind, code, 0) + rest
    return ipv4(1, message[:2] + struct.pack(">H", csum(message)) + message[4:])


class Wire:
    """The host's end of the tap: frames out to the guest, frames in from it."""

    def __init__(self, tap=TAP):
        self.link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.link.bind((tap, 0))
        request = fcntl.ioctl(self.link, SIOCGIFHWADDR, struct.pack("16s24x", tap.encode()))
        self.mine = request[18:24]
        self.guest = None

    def __enter__(self):
        self.find_guest()
        return self

    def __exit__(self, *_):
        self.link.close()

    def arp(self, operation, sender, target, to=b"\xff" * 6):
        body = struct.pack(">HHBBH6s4s6s4s", 1, ETH_IP4, 6, 4, operation, self.mine, ip4(sender), to, ip4(target))
        self.link.send(to + self.mine + struct.pack(">H", ETH_ARP) + body)

    def find_guest(self):
        """Its address by ARP."""
        self.link.settimeout(0.5)
        for _ in range(60):
            self.arp(1, HOST, GUEST)
            try:
                for _ in range(20):
                    frame = self.link.recv(2048)
                    if frame[12:14] == b"\x08\x06" and frame[28:32] == ip4(GUEST):
                        self.guest = frame[6:12]
                        return
            except TimeoutError:
                pass
        raise OSError("the guest does not answer ARP")

    def send(self, packet, kind=ETH_IP4):
        try:
            self.link.send(self.guest + self.mine + struct.pack(">H", kind) + packet)
        except OSError:
            pass  # the tap's queue is full, or it is longer than its MTU: then it is lost

    def claim(self, address):
        """Tell the guest that an address is here: it need not ask then."""
        self.arp(2, address, GUEST, self.guest)


def broken_frames(seed):
    """Endless (kind, packet): sound ones damaged in their headers, and some that are wrong by design."""
    rng = random.Random(seed)
    good = [
        lambda: (ETH_IP4, tcp(rng.randrange(65536), 7, rng.randrange(64), rng.getrandbits(32), rng.getrandbits(32),
                              b"x" * rng.randrange(100), bytes(rng.randrange(256) for _ in range(4 * rng.randrange(11))))),
        lambda: (ETH_IP4, udp(rng.randrange(65536), rng.choice((7, 53, 68)), b"y" * rng.randrange(1000))),
        lambda: (ETH_IP4, icmp(rng.choice((0, 3, 4, 5, 8, 11, 12, 13)), rng.randrange(16),
                               struct.pack(">I", rng.getrandbits(32)) + tcp(7, 40000, ACK, source=GUEST, to=HOST)[:40])),
        lambda: (ETH_IP4, ipv4(17, b"z" * 8 * rng.randrange(1, 150), ident=rng.randrange(8),
                               fragment=rng.choice((0, 0x2000)) | rng.randrange(200))),
        lambda: (ETH_IP4, ipv4(6, b"\0" * 20, source=rng.choice(("127.0.0.1", "224.0.0.1", "255.255.255.255", GUEST,
                                                                 "0.0.0.0")))),
        lambda: (ETH_IP4, ipv4(rng.randrange(256), b"p" * 40, options=bytes(rng.randrange(256) for _ in range(4 * rng.randrange(1, 10))))),
        lambda: (ETH_IP6, ipv6(rng.choice((0, 6, 17, 43, 44, 58, 60)), bytes(rng.randrange(256) for _ in range(rng.randrange(80))))),
        lambda: (ETH_IP6, ipv6(58, struct.pack(">BBH", rng.choice((1, 2, 3, 128, 130, 133, 135, 136)), 0, rng.getrandbits(16))
                               + bytes(rng.randrange(256) for _ in range(rng.randrange(64))))),
        lambda: (ETH_ARP, struct.pack(">HHBBH6s4s6s4s", rng.randrange(4), ETH_IP4, rng.choice((6, 0, 255)), rng.choice((4, 0, 16)),
                                      rng.randrange(5), b"\2\0\0\0\0\1", ip4("10.77.0.77"), b"\0" * 6, ip4(GUEST))),
        lambda: (rng.randrange(65536), b"?" * rng.randrange(60)),
    ]
    while True:
        kind, packet = rng.choice(good)()
        how = rng.randrange(4)
        if how == 1:
            packet = packet[:rng.randrange(len(packet) + 1)]
        elif how == 2 and packet and kind != ETH_ARP:
            packet = bytearray(packet)
            for _ in range(rng.randrange(1, 4)):
                packet[rng.randrange(min(len(packet), 60))] = rng.randrange(256)
            packet = bytes(packet)
        yield kind, packet
