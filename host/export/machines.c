/* Sources: libvirt's formatdomain; Firecracker's docs/getting-started.md; DMTF DSP0243 1.1. */
#include "export/machines.h"

#include "lib/cleanup.h"
#include "lib/json.h"

/* Text between XML tags, or in an attribute. */
static void machine_escape(struct buf *out, const char *text)
{
    for (; *text; text++) {
        if (strchr("<>&'\"", *text))
            buf_printf(out, "&#%d;", *text);
        else
            buf_add(out, text, 1);
    }
}

void machine_libvirt(struct buf *out, const char *name, u64 memory, const char *disk)
{
    buf_puts(out, "<domain type='kvm'>\n  <name>");
    machine_escape(out, name);
    buf_printf(out,
               "</name>\n"
               "  <memory unit='KiB'>%llu</memory>\n"
               "  <vcpu>1</vcpu>\n"
               "  <os>\n    <type arch='x86_64' machine='q35'>hvm</type>\n"
               "    <boot dev='hd'/>\n  </os>\n"
               "  <features><acpi/><apic/></features>\n"
               "  <cpu mode='maximum'/>\n"
               "  <on_poweroff>destroy</on_poweroff>\n"
               "  <on_reboot>restart</on_reboot>\n"
               "  <on_crash>destroy</on_crash>\n"
               "  <devices>\n"
               "    <disk type='file' device='disk'>\n"
               "      <driver name='qemu' type='qcow2'/>\n      <source file='",
               (unsigned long long)memory >> 10);
    machine_escape(out, disk);
    buf_puts(out, "'/>\n      <target dev='vda' bus='virtio'/>\n    </disk>\n"
                  "    <interface type='network'>\n      <source network='default'/>\n"
                  "      <model type='virtio'/>\n    </interface>\n"
                  "    <serial type='pty'><target port='0'/></serial>\n"
                  "    <console type='pty'><target type='serial' port='0'/></console>\n"
                  "    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>\n"
                  "  </devices>\n</domain>\n");
}

void machine_firecracker(struct buf *out, const char *cmdline, u64 memory)
{
    json_t *root CLEANUP(json_put) =
        json_pack("{s:{s:s, s:s, s:s}, s:[], s:{s:i, s:I}}", "boot-source", "kernel_image_path",
                  "vmlinux", "initrd_path", "initrd", "boot_args", cmdline, "drives",
                  "machine-config", "vcpu_count", 1, "mem_size_mib", (json_int_t)(memory >> 20));
    char *text CLEANUP(mem_free) = json_text(root, 2);

    buf_printf(out, "%s\n", text);
}

/* Elements of an Item stand in alphabetic order: DSP0243, 9.1. */
static void machine_ovf_hardware(struct buf *out, const char *name, u64 memory)
{
    char *ram CLEANUP(mem_free) =
        str_printf("        <rasd:VirtualQuantity>%llu</rasd:VirtualQuantity>\n",
                   (unsigned long long)memory >> 20);

    buf_puts(out, "    <VirtualHardwareSection>\n      <Info>Hardware</Info>\n      <System>\n"
                  "        <vssd:ElementName>Hardware</vssd:ElementName>\n"
                  "        <vssd:InstanceID>0</vssd:InstanceID>\n"
                  "        <vssd:VirtualSystemIdentifier>");
    machine_escape(out, name);
    buf_puts(out, "</vssd:VirtualSystemIdentifier>\n"
                  "        <vssd:VirtualSystemType>vmx-10</vssd:VirtualSystemType>\n"
                  "      </System>\n");
    buf_puts(out, "      <Item>\n        <rasd:ElementName>CPU</rasd:ElementName>\n"
                  "        <rasd:InstanceID>1</rasd:InstanceID>\n"
                  "        <rasd:ResourceType>3</rasd:ResourceType>\n"
                  "        <rasd:VirtualQuantity>1</rasd:VirtualQuantity>\n      </Item>\n");
    buf_printf(out,
               "      <Item>\n        <rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits>\n"
               "        <rasd:ElementName>Memory</rasd:ElementName>\n"
               "        <rasd:InstanceID>2</rasd:InstanceID>\n"
               "        <rasd:ResourceType>4</rasd:ResourceType>\n%s      </Item>\n",
               ram);
    buf_puts(out, "      <Item>\n        <rasd:Address>0</rasd:Address>\n"
                  "        <rasd:ElementName>SATA</rasd:ElementName>\n"
                  "        <rasd:InstanceID>3</rasd:InstanceID>\n"
                  "        <rasd:ResourceSubType>AHCI</rasd:ResourceSubType>\n"
                  "        <rasd:ResourceType>20</rasd:ResourceType>\n      </Item>\n"
                  "      <Item>\n        <rasd:AddressOnParent>0</rasd:AddressOnParent>\n"
                  "        <rasd:ElementName>Disk</rasd:ElementName>\n"
                  "        <rasd:HostResource>ovf:/disk/disk1</rasd:HostResource>\n"
                  "        <rasd:InstanceID>4</rasd:InstanceID>\n"
                  "        <rasd:Parent>3</rasd:Parent>\n"
                  "        <rasd:ResourceType>17</rasd:ResourceType>\n      </Item>\n"
                  "      <Item>\n        <rasd:AutomaticAllocation>true"
                  "</rasd:AutomaticAllocation>\n"
                  "        <rasd:Connection>nat</rasd:Connection>\n"
                  "        <rasd:ElementName>Network</rasd:ElementName>\n"
                  "        <rasd:InstanceID>5</rasd:InstanceID>\n"
                  "        <rasd:ResourceSubType>E1000</rasd:ResourceSubType>\n"
                  "        <rasd:ResourceType>10</rasd:ResourceType>\n      </Item>\n"
                  "    </VirtualHardwareSection>\n");
}

void machine_ovf(struct buf *out, const char *name, u64 memory, const char *vmdk, u64 vmdk_size,
                 u64 disk_size)
{
    buf_printf(out,
               "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
               "<Envelope xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\"\n"
               "    xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\"\n"
               "    xmlns:rasd=\"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
               "CIM_ResourceAllocationSettingData\"\n"
               "    xmlns:vssd=\"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
               "CIM_VirtualSystemSettingData\">\n"
               "  <References>\n    <File ovf:href=\"%s\" ovf:id=\"file1\" ovf:size=\"%llu\"/>\n"
               "  </References>\n"
               "  <DiskSection>\n    <Info>Disks</Info>\n"
               "    <Disk ovf:capacity=\"%llu\" ovf:diskId=\"disk1\" ovf:fileRef=\"file1\"\n"
               "        ovf:format=\"http://www.vmware.com/interfaces/specifications/vmdk.html"
               "#streamOptimized\"/>\n  </DiskSection>\n"
               "  <NetworkSection>\n    <Info>Networks</Info>\n"
               "    <Network ovf:name=\"nat\"><Description>NAT</Description></Network>\n"
               "  </NetworkSection>\n  <VirtualSystem ovf:id=\"",
               vmdk, (unsigned long long)vmdk_size, (unsigned long long)disk_size);
    machine_escape(out, name);
    buf_puts(out, "\">\n    <Info>A machine</Info>\n"
                  "    <OperatingSystemSection ovf:id=\"101\">\n"
                  "      <Info>Operating system</Info>\n    </OperatingSystemSection>\n");
    machine_ovf_hardware(out, name, memory);
    buf_puts(out, "  </VirtualSystem>\n</Envelope>\n");
}
