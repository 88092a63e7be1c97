/* The devices that are no hardware: null, zero, full, random, urandom, kmsg. */
#pragma once

/** Register them. At start. */
void memdev_init(void);
