/* Instructions of each virtual CPU, and how many it had executed when it first halted:
 *     -plugin cpus.so,out=FILE
 * writes `cpu NUMBER ALL BEFORE_THE_FIRST_HALT` lines. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin_abi.h"

enum { MAX_CPUS = 64, HLT = 0xf4 };

PLUGIN_EXPORT int qemu_plugin_version = PLUGIN_ABI_VERSION;
PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                      char **argv);

static FILE *out;
static uint64_t counts[MAX_CPUS], halts[MAX_CPUS]; /* each by its own CPU */

static void on_insn(unsigned int cpu, void *userdata)
{
    (void)userdata;
    if (cpu < MAX_CPUS)
        counts[cpu]++;
}

static void on_halt(unsigned int cpu, void *userdata)
{
    (void)userdata;
    if (cpu < MAX_CPUS && !halts[cpu])
        halts[cpu] = counts[cpu];
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        const unsigned char *bytes = qemu_plugin_insn_data(insn);
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_insn, QEMU_PLUGIN_CB_NO_REGS, NULL);
        if (qemu_plugin_insn_size(insn) == 1 && bytes[0] == HLT &&
            qemu_plugin_insn_vaddr(insn) >> 63)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_halt, QEMU_PLUGIN_CB_NO_REGS, NULL);
    }
}

static void on_end(qemu_plugin_id_t id, void *userdata)
{
    (void)id, (void)userdata;
    for (int i = 0; i < MAX_CPUS; i++)
        if (counts[i])
            fprintf(out, "cpu %d %llu %llu\n", i, (unsigned long long)counts[i],
                    (unsigned long long)halts[i]);
    fclose(out);
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++)
        if (!strncmp(argv[i], "out=", 4))
            out = fopen(argv[i] + 4, "w");
    if (!out)
        return -1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_atexit_cb(id, on_end, NULL);
    return 0;
}
