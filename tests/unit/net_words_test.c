#include "unit/test.h"

#include "lib/err.h"
#include "vm/net.h"

#include <stdlib.h>
#include <string.h>

TEST(publish_takes_what_docker_takes)
{
    struct vm_net net = {0};
    struct err err = {0};

    EXPECT_EQ(vm_net_publish(&net, "8080:80", &err), 0, NULL);
    EXPECT_EQ(vm_net_publish(&net, "127.0.0.1:53:5353/udp", &err), 0, NULL);
    EXPECT_EQ(net.nr_ports, 2, NULL);
    EXPECT_STR(net.ports[0].host_ip, "0.0.0.0", NULL);
    EXPECT_EQ(net.ports[0].guest, 80, NULL);
    EXPECT_EQ(net.ports[1].host, 53, NULL);
    EXPECT_EQ(net.ports[1].udp, true, NULL);
    vm_net_fini(&net);
}

TEST(publish_refuses_what_is_no_port)
{
    static const char *const bad[] = {"",      "80",      ":80",         "80:",     "0:80",
                                      "80:x",  "65536:1", "1:80/sctp",   "x:80:80", "1:2:3:4",
                                      "-1:80", "80:80/",  "1.2.3:80:80", " 80:80"};
    struct vm_net net = {0};

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err err = {0};
        EXPECT_TRUE(vm_net_publish(&net, bad[i], &err) < 0, bad[i]);
    }
    EXPECT_EQ(net.nr_ports, 0, NULL);
    vm_net_fini(&net);
}

TEST(a_free_port_is_picked_once)
{
    static const char *const open[] = {"80", "0:80", ":80", "127.0.0.1::80/udp"};
    static const char *const bad[] = {"", "0", "x", "80/sctp", "1.2.3::80", "70000:80", "80:0"};
    struct vm_net net = {0};
    struct err err = {0};
    bool picked;

    for (size_t i = 0; i < ARRAY_LEN(open); i++) {
        char *full = vm_net_settle_port(open[i], &picked, &err);
        EXPECT_TRUE(full && picked, open[i]);
        EXPECT_EQ(vm_net_publish(&net, full, &err), 0, full);
        EXPECT_TRUE(net.ports[i].host && net.ports[i].guest == 80, full);
        free(full);
    }
    char *full = vm_net_settle_port("8080:80", &picked, &err);
    EXPECT_STR(full, "0.0.0.0:8080:80/tcp", NULL);
    EXPECT_TRUE(!picked, NULL);
    free(full);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        EXPECT_TRUE(!vm_net_settle_port(bad[i], &picked, &err), bad[i]);
    vm_net_fini(&net);
}

TEST(net_words_become_the_kernels)
{
    struct vm_net net = {0};
    struct err err = {0};

    EXPECT_EQ(vm_net_parse(&net, "tap:tap0,ip=10.0.0.2/20,gw=10.0.0.1", &err), 0, NULL);
    char *word = vm_net_word(&net, "web");
    EXPECT_STR(word, "ip=10.0.0.2::10.0.0.1:255.255.240.0:web:eth0:off", NULL);
    free(word);
    net = (struct vm_net){0};
    EXPECT_EQ(vm_net_parse(&net, "tap:tap0", &err), 0, NULL);
    word = vm_net_word(&net, NULL);
    EXPECT_STR(word, "ip=dhcp", NULL);
    free(word);
}

TEST(net_refuses_what_it_does_not_know)
{
    static const char *const bad[] = {"bridge",
                                      "tap:",
                                      "tap:t,ip=1.2.3",
                                      "tap:t,ip=1.2.3.4/33",
                                      "tap:t,gw",
                                      "tap:t,mtu=1",
                                      "tap:t,mac=01:00:00:00:00:00",
                                      "tap:aninterfacename1"};

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct vm_net net = {0};
        struct err err = {0};
        EXPECT_TRUE(vm_net_parse(&net, bad[i], &err) < 0, bad[i]);
    }
}
