/* ioctl requests of sockets: the protocol's own, and those about interfaces. */
#include "sys/socket_file.h"

int socket_ioctl(struct socket *sock, unsigned cmd, uaddr_t arg)
{
    return sock->ops->ioctl ? sock->ops->ioctl(sock, cmd, arg) : -ENOTTY;
}
