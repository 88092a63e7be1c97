/* The lowest layer of every root: the directories that file systems are mounted on, and the files
 * of /etc that a container gets.  An image's own files hide them, like those of any lower layer. */
#pragma once

struct super_block;

/** The layer's super block, for overlay_mount(); NULL: no memory. */
struct super_block *skeleton_mount(void);
