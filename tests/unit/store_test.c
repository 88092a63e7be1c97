/* The store: what is put is found, what is damaged is named, what nobody needs goes. */
#include "image/config.h"
#include "image/store.h"
#include "lib/fs.h"
#include "unit/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char *home;

static void begin(void)
{
    home = fs_tmpdir(NULL, NULL);
    REQUIRE(home, NULL);
    setenv("INGOT_HOME", home, 1);
}

/* A layer is just bytes to the store. */
static int put(const char *name, const char *bytes, struct err *err)
{
    struct image_config config = {0};
    char *scratch = store_scratch(err);
    char id[65];

    if (!scratch)
        return -err->code;
    char *layer = fs_join(scratch, "layer");
    config_defaults(&config);
    strs_add(&config.entrypoint, bytes);
    int failed = fs_write(layer, bytes, strlen(bytes), 0644, err);
    if (!failed)
        failed = store_put(&(struct store_image){.name = name, .layer = layer, .config = &config},
                           id, err);
    image_config_free(&config);
    free(layer);
    fs_tmpdir_remove(&scratch);
    return failed;
}

static int load_by(int (*load)(const struct store *, const struct store_entry *, struct image *,
                               struct err *),
                   const char *name, struct image *image, struct err *err)
{
    struct store store = {0};
    struct store_entry entry = {0};

    int failed = store_open(&store, err);
    if (!failed)
        failed = store_find(&store, name, &entry, err);
    if (!failed)
        failed = load(&store, &entry, image, err);
    store_entry_free(&entry);
    store_close(&store);
    return failed;
}

static int load(const char *name, struct image *image, struct err *err)
{
    return load_by(store_load, name, image, err);
}

static int count_blobs(void)
{
    char *path = fs_join(home, "blobs/sha256");
    DIR *dir = opendir(path);
    int count = 0;

    for (const struct dirent *entry; dir && (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    if (dir)
        closedir(dir);
    free(path);
    return count;
}

/* For the blobs that are about to leave; how many these are. */
static int a_minute_passes(void)
{
    struct timespec before[2] = {{.tv_sec = time(NULL) - 61}, {.tv_sec = time(NULL) - 61}};
    char *path = fs_join(home, "blobs/sha256");
    DIR *dir = opendir(path);
    struct stat st;
    int count = 0;

    for (const struct dirent *entry; dir && (entry = readdir(dir));)
        if (fstatat(dirfd(dir), entry->d_name, &st, 0) == 0 && (st.st_mode & 0777) == 0400) {
            EXPECT_EQ(utimensat(dirfd(dir), entry->d_name, before, 0), 0, NULL);
            count++;
        }
    if (dir)
        closedir(dir);
    free(path);
    return count;
}

TEST(store_finds_by_name_and_by_id)
{
    struct image image = {0}, again = {0};
    struct err err = {0};

    begin();
    EXPECT_EQ(put("a:1", "one", &err), 0, err.text);
    REQUIRE(load("a:1", &image, &err) == 0, err.text);
    EXPECT_EQ(image.size, 3, NULL);
    EXPECT_STR(image.config.entrypoint.at[0], "one", NULL);
    image.id[10] = 0;
    EXPECT_EQ(load(image.id, &again, &err), 0, err.text);
    EXPECT_STR(again.name, "a:1", NULL);
    image_free(&image);
    image_free(&again);
    EXPECT_EQ(load("a", &image, &err), -ENOENT, "a is a:latest");
    fs_tmpdir_remove(&home);
}

/* Without a look at the index. */
static bool find_unread(const char *name, char digest[65])
{
    struct store_entry entry = {0};
    struct store store;
    struct err err = {0};

    store_open_unread(&store);
    bool found = store_find(&store, name, &entry, &err) == 0;
    if (found)
        strcpy(digest, entry.digest);
    store_entry_free(&entry);
    store_close(&store);
    return found;
}

static void damage_notes(void)
{
    char *folder = fs_join(home, "refs");
    DIR *dir = opendir(folder);

    for (const struct dirent *entry; dir && (entry = readdir(dir));) {
        char *path = fs_join(folder, entry->d_name);
        if (entry->d_name[0] != '.')
            EXPECT_EQ(truncate(path, 40), 0, NULL);
        free(path);
    }
    if (dir)
        closedir(dir);
    free(folder);
}

TEST(store_finds_without_the_index_what_was_found_in_it)
{
    char digest[65] = "", other[65] = "";
    struct image image = {0};
    struct err err = {0};

    begin();
    EXPECT_FALSE(find_unread("a:1", digest), "there is nothing");
    put("a:1", "one", &err);
    EXPECT_FALSE(find_unread("a:1", digest), "nobody has looked for it yet");
    REQUIRE(load("a:1", &image, &err) == 0, err.text);
    image_free(&image);
    EXPECT_TRUE(find_unread("a:1", digest), "noted");
    EXPECT_FALSE(find_unread("a:2", digest), "another name");
    put("a:1", "two", &err);
    EXPECT_FALSE(find_unread("a:1", other), "the index has changed");
    REQUIRE(load("a:1", &image, &err) == 0, err.text);
    image_free(&image);
    EXPECT_TRUE(find_unread("a:1", other), "noted anew");
    EXPECT_TRUE(strcmp(digest, other) != 0, "and it is the new image");
    damage_notes();
    EXPECT_FALSE(find_unread("a:1", other), "half a note is none");
    fs_tmpdir_remove(&home);
}

TEST(store_finds_a_whole_id_whatever_else_is_built)
{
    char id[65], digest[65] = "", other[65] = "";
    struct image image = {0};
    struct err err = {0};

    begin();
    put("a:1", "one", &err);
    REQUIRE(load("a:1", &image, &err) == 0, err.text);
    strcpy(id, image.id);
    image_free(&image);
    EXPECT_FALSE(find_unread(id, digest), "nobody has looked for it yet");
    REQUIRE(load(id, &image, &err) == 0, err.text);
    image_free(&image);
    EXPECT_TRUE(find_unread(id, digest), "noted");
    put("b:1", "two", &err);
    EXPECT_TRUE(find_unread(id, other), "another image does not matter");
    EXPECT_STR(other, digest, "and it is that one");
    put("a:1", "three", &err);
    EXPECT_FALSE(find_unread(id, other), "it is gone");
    fs_tmpdir_remove(&home);
}

/* One name or id. */
static int remove_one(const char *target, struct strs *untagged, struct strs *deleted,
                      struct err *err)
{
    struct strs targets = {0};

    strs_add(&targets, target);
    int failed = store_remove(&targets, false, untagged, deleted, err);
    strs_free(&targets);
    return failed;
}

TEST(store_removes_many_and_tells_of_the_first_that_is_missing)
{
    struct strs targets = {0}, untagged = {0}, deleted = {0};
    struct err err = {0};

    begin();
    put("a:1", "one", &err);
    put("b:1", "two", &err);
    strs_add(&targets, "a:1");
    strs_add(&targets, "absent:1");
    strs_add(&targets, "b:1");
    EXPECT_EQ(store_remove(&targets, false, &untagged, &deleted, &err), -ENOENT, NULL);
    EXPECT_TRUE(strstr(err.text, "absent"), err.text);
    EXPECT_EQ(deleted.len, 2, "the others went");
    EXPECT_EQ(count_blobs(), 0, NULL);
    EXPECT_EQ(store_remove(&targets, true, &untagged, &deleted, &err), 0, "missing is fine");
    strs_free(&targets);
    strs_free(&untagged);
    strs_free(&deleted);
    fs_tmpdir_remove(&home);
}

TEST(store_moves_a_name_and_drops_what_nobody_needs)
{
    struct strs untagged = {0}, deleted = {0};
    struct image image = {0};
    struct err err = {0};

    begin();
    put("a:1", "one", &err);
    put("a:1", "two", &err);
    EXPECT_EQ(count_blobs(), 6, "somebody may be about to open the first");
    put("a:1", "two", &err);
    EXPECT_EQ(count_blobs(), 6, "still");
    EXPECT_EQ(a_minute_passes(), 3, NULL);
    put("a:1", "two", &err);
    EXPECT_EQ(count_blobs(), 3, "layer, config and manifest of the second");
    EXPECT_EQ(store_tag("a:1", "b:1", &err), 0, err.text);
    EXPECT_EQ(remove_one("a:1", &untagged, &deleted, &err), 0, err.text);
    EXPECT_EQ(deleted.len, 0, "b:1 still names it");
    REQUIRE(load("b:1", &image, &err) == 0, err.text);
    image_free(&image);
    EXPECT_EQ(remove_one("b:1", &untagged, &deleted, &err), 0, err.text);
    EXPECT_EQ(deleted.len, 1, NULL);
    EXPECT_EQ(count_blobs(), 0, NULL);
    EXPECT_EQ(remove_one("b:1", &untagged, &deleted, &err), -ENOENT, NULL);
    strs_free(&untagged);
    strs_free(&deleted);
    fs_tmpdir_remove(&home);
}

TEST(store_keeps_what_is_listed_again_before_it_left)
{
    struct strs untagged = {0}, deleted = {0};
    struct image image = {0};
    struct err err = {0};

    begin();
    put("a:1", "one", &err);
    put("a:1", "two", &err);
    put("b:1", "one", &err);
    EXPECT_EQ(a_minute_passes(), 0, "all are listed");
    EXPECT_EQ(remove_one("a:1", &untagged, &deleted, &err), 0, err.text);
    EXPECT_EQ(count_blobs(), 3, "who removes an image has its room at once");
    EXPECT_EQ(load("b:1", &image, &err), 0, err.text);
    image_free(&image);
    strs_free(&untagged);
    strs_free(&deleted);
    fs_tmpdir_remove(&home);
}

TEST(store_gives_the_same_bytes_for_the_same_input)
{
    struct image one = {0}, two = {0};
    struct err err = {0};

    begin();
    put("a:1", "same", &err);
    put("b:1", "same", &err);
    REQUIRE(load("a:1", &one, &err) == 0 && load("b:1", &two, &err) == 0, err.text);
    EXPECT_STR(one.id, two.id, NULL);
    EXPECT_EQ(count_blobs(), 3, NULL);
    image_free(&one);
    image_free(&two);
    fs_tmpdir_remove(&home);
}

/* Where a run of "a:1" notes what it loaded, and how long that note is. */
static char *loaded_note(long *len)
{
    char digest[65];
    struct stat st;

    EXPECT_TRUE(find_unread("a:1", digest), NULL);
    struct sha256_hex name = sha256_bytes(digest, 64);
    char *path = str_printf("%s/refs/%s", home, name.text);
    *len = stat(path, &st) ? 0 : st.st_size;
    return path;
}

static void expect_loaded(const char *why)
{
    struct image image = {0};
    struct err err = {0};

    EXPECT_EQ(load_by(store_load_known, "a:1", &image, &err), 0, why);
    EXPECT_EQ(image.size, 5, why);
    EXPECT_STR(image.name, "a:1", why);
    EXPECT_EQ(image.config.entrypoint.len, 1, why);
    EXPECT_STR(image.config.entrypoint.at[0], "layer", why);
    EXPECT_STR(image.config.workdir, "/", why);
    EXPECT_STR(image.config.stopsignal, "SIGTERM", why);
    EXPECT_STR(image.config.user, "", why);
    EXPECT_EQ(image.layers.len, 1, why);
    EXPECT_EQ(strlen(image.id), 64, why);
    image_free(&image);
}

static void flip(const char *path, long at)
{
    FILE *file = fopen(path, "r+");

    fseek(file, at, SEEK_SET);
    int c = fgetc(file);
    fseek(file, at, SEEK_SET);
    fputc(c ^ 1, file);
    fclose(file);
}

TEST(store_notes_what_a_run_loaded)
{
    struct image image = {0};
    struct err err = {0};
    long len;

    begin();
    put("a:1", "layer", &err);
    expect_loaded("the first time");
    char *note = loaded_note(&len);
    EXPECT_TRUE(len > 0, "a note");
    expect_loaded("from the note");
    for (long at = 0; at < len; at += 5) {
        flip(note, at);
        expect_loaded("a damaged note is made anew");
    }
    for (long cut = len - 1; cut > 0; cut -= 37) {
        EXPECT_EQ(truncate(note, cut), 0, NULL);
        expect_loaded("a note that was cut short, too");
    }

    REQUIRE(load("a:1", &image, &err) == 0, err.text);
    char *config = str_printf("%s/blobs/sha256/%s", home, image.id);
    chmod(config, 0644);
    flip(config, 20);
    image_free(&image);
    EXPECT_EQ(load_by(store_load_known, "a:1", &image, &err), -EINVAL, "a damaged config");
    EXPECT_TRUE(strstr(err.text, "corrupt image config"), err.text);
    flip(config, 20);
    expect_loaded("a mended one");
    REQUIRE(load("a:1", &image, &err) == 0, err.text);
    truncate(image.layers.at[0], 3);
    image_free(&image);
    EXPECT_EQ(load_by(store_load_known, "a:1", &image, &err), -EINVAL, "a layer cut short");
    free(config);
    free(note);
    fs_tmpdir_remove(&home);
}

TEST(a_file_that_is_written_anew_is_the_same_file)
{
    enum { LEN = (2 << 20) + 4097 };
    char *path, *bytes = malloc(LEN);
    struct buf now = {0};
    struct stat st;

    begin();
    path = fs_join(home, "layer");
    for (size_t i = 0; i < LEN; i++)
        bytes[i] = (char)(i * 7 + (i >> 12));
    EXPECT_EQ(fs_write(path, bytes, LEN, 0440, NULL), 0, NULL);
    REQUIRE(stat(path, &st) == 0, NULL);
    ino_t was = st.st_ino;
    fs_rewrite(path);
    EXPECT_EQ(fs_read(path, LEN, &now, NULL), 0, NULL);
    EXPECT_TRUE(now.len == LEN && !memcmp(now.data, bytes, LEN), "its bytes");
    REQUIRE(stat(path, &st) == 0, NULL);
    EXPECT_TRUE(st.st_ino != was, "another file");
    EXPECT_EQ(st.st_mode & 07777, 0440, "its mode");

    struct strs names = {0};
    EXPECT_EQ(fs_list(home, &names, NULL), 0, NULL);
    EXPECT_EQ(names.len, 1, "nothing is left beside it");
    strs_free(&names);
    buf_free(&now);
    free(bytes);
    free(path);
    fs_tmpdir_remove(&home);
}

TEST(store_names_damage)
{
    struct image image = {0};
    struct err err = {0};

    begin();
    put("a:1", "layer", &err);
    REQUIRE(load("a:1", &image, &err) == 0, err.text);
    EXPECT_EQ(store_verify(&image, &err), 0, err.text);
    unlink(image.layers.at[0]);
    fs_write(image.layers.at[0], "lAyer", 5, 0644, NULL);
    EXPECT_EQ(store_verify(&image, &err), -EINVAL, NULL);
    EXPECT_TRUE(strstr(err.text, "corrupt layer"), err.text);
    fs_write(image.layers.at[0], "lay", 3, 0644, NULL);
    image_free(&image);
    EXPECT_EQ(load("a:1", &image, &err), -EINVAL, NULL);
    EXPECT_TRUE(strstr(err.text, "corrupt layer: 3 bytes, not 5"), err.text);
    char *index = fs_join(home, "index.json");
    fs_write(index, "{\"manifests\":7}", 15, 0644, NULL);
    EXPECT_EQ(load("a:1", &image, &err), -EINVAL, NULL);
    free(index);
    fs_tmpdir_remove(&home);
}

/* The ids of the images without a name, in order. */
static size_t unnamed_ids(char ids[8][65])
{
    struct store store = {0};
    struct err err = {0};
    size_t found = 0;

    REQUIRE(store_open(&store, &err) == 0, err.text);
    for (size_t i = 0; i < store_count(&store); i++) {
        struct store_entry entry = {0};
        struct image image = {0};
        REQUIRE(store_entry_at(&store, i, &entry) && !store_load(&store, &entry, &image, &err),
                err.text);
        if (!entry.name)
            memcpy(ids[found++], image.id, 65);
        image_free(&image);
        store_entry_free(&entry);
    }
    store_close(&store);
    return found;
}

TEST(store_prune_takes_the_oldest_that_nobody_needs)
{
    struct strs used = {0}, deleted = {0};
    struct store_usage usage;
    struct err err = {0};
    char ids[8][65];

    begin();
    EXPECT_EQ(put("named:1", "named", &err), 0, err.text);
    for (int i = 0; i < 4; i++)
        EXPECT_EQ(put(NULL, (const char *[]){"aaaa", "bbbb", "cccc", "dddd"}[i], &err), 0,
                  err.text);
    EXPECT_EQ(unnamed_ids(ids), 4, "four without a name");
    strs_add(&used, ids[0]);

    EXPECT_EQ(store_prune(&used, 2, 3600, &deleted, &err), 0, err.text);
    EXPECT_EQ(deleted.len, 0, "all of them are new");
    EXPECT_EQ(store_prune(&used, 2, 0, &deleted, &err), 0, err.text);
    EXPECT_EQ(deleted.len, 2, "two may stay");
    EXPECT_STR(deleted.at[0], ids[1], "the first is used, the second goes");
    EXPECT_STR(deleted.at[1], ids[2], "and the third");

    EXPECT_EQ(store_measure(&used, &usage, &err), 0, err.text);
    EXPECT_EQ(usage.named, 1, NULL);
    EXPECT_EQ(usage.unnamed, 2, NULL);
    EXPECT_EQ(usage.unused, 1, NULL);
    EXPECT_TRUE(usage.reclaimable > 4 && usage.reclaimable < usage.bytes, "a layer and its JSON");

    EXPECT_EQ(store_prune(&used, 0, 0, &deleted, &err), 0, err.text);
    EXPECT_EQ(deleted.len, 3, "what is used stays");
    EXPECT_EQ(count_blobs(), 6, "two images of three blobs");
    strs_free(&used);
    strs_free(&deleted);
}

TEST(store_sweeps_what_a_killed_writer_left)
{
    struct timespec long_ago[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    struct err err = {0};

    begin();
    EXPECT_EQ(put("a:1", "one", &err), 0, err.text);
    char *left = fs_join(home, "index.json.1234.tmp"), *busy = fs_join(home, "index.json.99.tmp");
    EXPECT_EQ(fs_write(left, "x", 1, 0644, &err), 0, err.text);
    EXPECT_EQ(fs_write(busy, "x", 1, 0644, &err), 0, err.text);
    EXPECT_EQ(utimensat(AT_FDCWD, left, long_ago, 0), 0, NULL);
    EXPECT_EQ(put("b:1", "two", &err), 0, err.text);
    EXPECT_FALSE(fs_exists(left), "it is old");
    EXPECT_TRUE(fs_exists(busy), "somebody may be at it");
    free(left);
    free(busy);
}
