/* What scripts import, and whose package that is: a folder of scripts, and a package database. */
#include "image/configured.h"
#include "image/dpkg.h"
#include "image/imports.h"
#include "image/modules.h"
#include "image/tmpfiles.h"
#include "image/tree.h"
#include "lib/fs.h"
#include "unit/test.h"

#include <pwd.h>

static char *root;

/* A file below the test's folder, with the folders above it; returns its path, to be freed. */
static char *put(const char *name, const char *text)
{
    char *path = fs_join(root, name);
    char *above = str_printf("%.*s", (int)(strrchr(path, '/') - path), path);

    REQUIRE(!fs_mkdirs(above, NULL) && !fs_write(path, text, strlen(text), 0644, NULL), name);
    free(above);
    return path;
}

static bool brings(const struct imports *imports, const char *name)
{
    char *path = fs_join(root, name);
    bool has = strs_has(&imports->files, path);

    free(path);
    return has;
}

static struct imports scan(const char *language, const char *name, const char *text)
{
    struct imports imports = {0};
    char *path = put(name, text);

    imports_scan_file(&imports, language, path);
    free(path);
    return imports;
}

TEST(imports_know_a_language_by_script_and_by_interpreter)
{
    EXPECT_STR(imports_language("/usr/bin/python3.11"), "python", NULL);
    EXPECT_STR(imports_language("x.rb"), "ruby", NULL);
    EXPECT_STR(imports_language("perl"), "perl", NULL);
    EXPECT_STR(imports_language("/usr/bin/node"), "node", NULL);
    EXPECT_TRUE(!imports_language("/usr/bin/pythonic"), NULL);
    EXPECT_TRUE(!imports_language("/bin/true"), NULL);
}

TEST(imports_follow_modules_beside_the_script)
{
    root = fs_tmpdir(NULL, NULL);
    free(put("helper.py", "import deep.inside\nimport helper\n"));
    free(put("deep/inside.py", "import yaml\n"));
    struct imports imports =
        scan("python", "app.py",
             "import os, helper as h\nfrom flask.views import View; import re\n"
             "  from . import nothing\n# import said_in_a_comment\n");
    EXPECT_TRUE(brings(&imports, "helper.py"), NULL);
    EXPECT_TRUE(brings(&imports, "deep"), NULL);
    EXPECT_TRUE(strs_has(&imports.names, "python:os"), NULL);
    EXPECT_TRUE(strs_has(&imports.names, "python:re"), NULL);
    EXPECT_TRUE(strs_has(&imports.names, "python:flask.views"), NULL);
    EXPECT_TRUE(strs_has(&imports.names, "python:yaml"), "what a module beside it imports");
    EXPECT_EQ(imports.names.len, 4, NULL);
    imports_free(&imports);
    fs_tmpdir_remove(&root);
}

TEST(imports_of_a_script_that_is_of_a_package)
{
    static const struct {
        const char *script, *brings, *not ;
    } tools[] = {
        {"lib/node_modules/serve/build/main.js", "lib/node_modules/serve", "lib/node_modules"},
        {"lib/node_modules/@of/us/x.js", "lib/node_modules/@of/us", "lib/node_modules/@of"},
        {"app/node_modules/next/bin/next.js", "app/node_modules", "app/node_modules/next"},
    };

    root = fs_tmpdir(NULL, NULL);
    free(put("app/package.json", "{}"));
    for (size_t i = 0; i < ARRAY_LEN(tools); i++) {
        struct imports imports = scan("node", tools[i].script, "");
        EXPECT_TRUE(brings(&imports, tools[i].brings), tools[i].script);
        EXPECT_TRUE(!brings(&imports, tools[i].not ), tools[i].script);
        imports_free(&imports);
        imports = scan("python", tools[i].script, "");
        EXPECT_EQ(imports.files.len, 0, "not node's");
        imports_free(&imports);
    }
    fs_tmpdir_remove(&root);
}

TEST(imports_of_other_languages)
{
    root = fs_tmpdir(NULL, NULL);
    free(put("lib/part.rb", ""));
    free(put("part.js", ""));
    free(put("node_modules/left/index.js", ""));
    struct imports ruby =
        scan("ruby", "app.rb", "require 'json'\nrequire_relative(\"lib/part\")\n");
    EXPECT_TRUE(brings(&ruby, "lib/part.rb"), NULL);
    EXPECT_TRUE(strs_has(&ruby.names, "ruby:json"), NULL);
    struct imports perl = scan("perl", "app.pl", "use strict; use Foo::Bar qw(x);\n");
    EXPECT_TRUE(strs_has(&perl.names, "perl:Foo::Bar"), NULL);
    struct imports node = scan("node", "app.js",
                               "const a = require('./part'), b = require(\"left\")\n"
                               "import c from 'http'\n");
    EXPECT_TRUE(brings(&node, "./part.js") || brings(&node, "part.js"), NULL);
    EXPECT_TRUE(brings(&node, "node_modules"), NULL);
    EXPECT_TRUE(strs_has(&node.names, "node:http"), NULL);
    imports_free(&ruby);
    imports_free(&perl);
    imports_free(&node);
    fs_tmpdir_remove(&root);
}

TEST(imports_of_a_shell_script_are_where_commands_stand)
{
    root = fs_tmpdir(NULL, NULL);
    struct imports shell = scan("shell", "s.sh",
                                "n=$(wc -l <x | tr -d ' ')\nif grep -q a b; then sort words; fi\n"
                                "echo not_a_command && date\n");
    static const char *const names[] = {"wc", "tr", "grep", "sort", "date"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char *name = str_printf("shell:%s", names[i]);
        EXPECT_TRUE(strs_has(&shell.names, name), names[i]);
        free(name);
    }
    EXPECT_TRUE(!strs_has(&shell.names, "shell:words"), NULL);
    EXPECT_TRUE(!strs_has(&shell.names, "shell:not_a_command"), NULL);
    imports_free(&shell);
    fs_tmpdir_remove(&root);
}

TEST(dpkg_tells_owner_files_and_needs)
{
    struct dpkg dpkg;
    struct strs files = {0}, needs = {0};

    root = fs_tmpdir(NULL, NULL);
    free(put("status",
             "Package: other\nStatus: x\nDepends: wrong\n\nPackage: a\nPre-Depends: "
             "libc6 (>= 2.3)\nDepends: b:any, c (= 1) | d, b\nDescription: Package: no\n"));
    free(put("info/a.list", "/.\n/usr\n/usr/bin/tool\n"));
    free(put("info/b:amd64.list", "/.\n/bin/old\n"));
    dpkg_open(&dpkg, root);
    char *owner = dpkg_owner(&dpkg, "/usr/bin/tool"), *old = dpkg_owner(&dpkg, "/usr/bin/old");
    EXPECT_STR(owner, "a", NULL);
    EXPECT_STR(old, "b", "from before /bin and /usr/bin were one");
    EXPECT_TRUE(!dpkg_owner(&dpkg, "/usr/bin/too"), "a part of a line is no line");
    dpkg_files(&dpkg, "b", &files);
    EXPECT_TRUE(strs_has(&files, "/bin/old"), NULL);
    dpkg_depends(&dpkg, "a", &needs);
    REQUIRE(needs.len == 3, NULL);
    EXPECT_STR(needs.at[0], "libc6", NULL);
    EXPECT_STR(needs.at[1], "b", NULL);
    EXPECT_STR(needs.at[2], "c", "of alternatives the first");
    dpkg_depends(&dpkg, "absent", &needs);
    EXPECT_EQ(needs.len, 3, NULL);
    free(owner);
    free(old);
    strs_free(&files);
    strs_free(&needs);
    dpkg_close(&dpkg);
    fs_tmpdir_remove(&root);
}

TEST(modules_come_with_what_their_package_needs)
{
    struct tree tree = {0};
    char text[1024];

    root = fs_tmpdir(NULL, NULL);
    char *tool = put("bin/tool", "#!/usr/bin/python3\n"), *data = put("share/data.txt", "x");
    char *module = put("lib/one.py", ""), *aside = put("lib/tests/x.py", "");
    free(put("db/status", "Package: tool\nDepends: python3-one, libc6\n\nPackage: python3-one\n"));
    snprintf(text, sizeof(text), "%s\n%s\n", tool, data);
    free(put("db/info/tool.list", text));
    snprintf(text, sizeof(text), "%s\n%s\n", module, aside);
    free(put("db/info/python3-one.list", text));
    free(put("db/info/libc6.list", "/nonexistent/library\n"));
    char *db = fs_join(root, "db");
    EXPECT_EQ(modules_add_of(&tree, "python", tool, db, NULL), 0, NULL);
    EXPECT_TRUE(tree_find(&tree, data), NULL);
    EXPECT_TRUE(tree_find(&tree, module), NULL);
    EXPECT_TRUE(!tree_find(&tree, aside), "tests stay behind");
    free(tool);
    free(data);
    free(module);
    free(aside);
    free(db);
    tree_free(&tree);
    fs_tmpdir_remove(&root);
}

TEST(an_interpreter_elsewhere_has_packages_of_its_own)
{
    struct strs names = {0}, found = {0};
    struct tree tree = {0};

    root = fs_tmpdir(NULL, NULL);
    char *program = put("py/bin/python3.11", "");
    char *module = put("py/lib/python3.11/site-packages/own_one/__init__.py", "");
    char *other = put("py/lib/python3.11/site-packages/other.py", "");
    strs_add(&names, "python:own_one.part");
    strs_add(&names, "python:no_such_module");
    modules_installed(&names, NULL, &found);
    EXPECT_EQ(found.len, 0, "the system's Python does not have it");
    modules_installed(&names, program, &found);
    REQUIRE(found.len == 1, NULL);
    EXPECT_STR(found.at[0], "python:own_one.part", NULL);
    EXPECT_EQ(modules_add(&tree, &names, program, root, NULL), 0, NULL);
    EXPECT_TRUE(tree_find(&tree, module), NULL);
    EXPECT_TRUE(tree_find(&tree, other), "what it needs is not known");
    tree_free(&tree);
    tree = (struct tree){0};
    free(put("py/lib/python3.11/site-packages/own_one-1.dist-info/RECORD",
             "own_one/__init__.py,sha256=x,0\n../../../bin/x,,\n/etc/passwd,,\n"));
    free(
        put("py/lib/python3.11/site-packages/own_one-1.dist-info/METADATA",
            "Name: own-one\nRequires-Dist: The.Other<2,>=1; python_version > '3'\n"
            "Requires-Dist: third ; extra == 'all'\nRequires-Dist: own_one\n\nRequires-Dist: x\n"));
    free(put("py/lib/python3.11/site-packages/the_other-1.2.dist-info/RECORD", "other.py,,\n"));
    char *third = put("py/lib/python3.11/site-packages/third.py", "");
    free(put("py/lib/python3.11/site-packages/third-3.dist-info/RECORD", "third.py,,\n"));
    EXPECT_EQ(modules_add(&tree, &names, program, root, NULL), 0, NULL);
    EXPECT_TRUE(tree_find(&tree, module), NULL);
    EXPECT_TRUE(tree_find(&tree, other), "what it needs");
    EXPECT_TRUE(!tree_find(&tree, third), "nobody needs it");
    EXPECT_TRUE(!tree_find(&tree, "/etc/passwd"), "nothing from elsewhere");
    free(third);
    free(program);
    free(module);
    free(other);
    strs_free(&names);
    strs_free(&found);
    tree_free(&tree);
    fs_tmpdir_remove(&root);
}

TEST(what_a_package_has_made_at_boot)
{
    struct tree tree = {0};
    struct strs files = {0};

    root = fs_tmpdir(NULL, NULL);
    strs_take(&files, put("tmpfiles.d/a.conf", "# words\n"
                                               "d /run/a 0750 33 44 - -\n"
                                               "D!\t/run/b/c\t:2775 root nosuchuser 1d\n"
                                               "f+ /run/b/text - - - - some words\n"
                                               "L /run/link - - - - /run/a\n"
                                               "d /run/%i\nd relative\nz /dev/x 0660 - 7\n"
                                               "x /tmp\nd\n\"/run/odd one\" 0755\n"
                                               "d \"/run/two words\" 0700\nd \"/run/open\n"
                                               "d /run/lock/ 0700 7 8\n"));
    strs_take(&files, put("tmpfiles.d/b.conf", "d \"/run/on the way\" 0710 7 8\n"
                                               "d /run/a 0700 9 9\nd /tmp 0700 7\n"
                                               "d /run/file\n"));
    strs_take(&files,
              put("system/a.service", "[Service]\nUser=33\nRuntimeDirectory=u v/w ../x %i\n"
                                      "RuntimeDirectoryMode=0711\nStateDirectory=s\n"
                                      "ExecStartPre=/bin/mkdir -m 740 -p /run/m /run/n\n"
                                      "ExecStartPre=/bin/chown 55:66 /run/m\n"
                                      "ExecStartPre=/usr/bin/install -Z -m 02755 -o 55 -g "
                                      "66 -d /run/i /etc/i\n"
                                      "ExecStartPre=/usr/bin/install -m 600 /run/from /run/i/to\n"
                                      "ExecStartPre=/bin/rm /run/o\n"));
    strs_take(&files, put("system/b.service", "[Service]\nUser=_apt\nRuntimeDirectory=apt\n"));
    strs_take(&files, put("other.txt", "d /run/no\n"));
    EXPECT_EQ(tree_add_dir(&tree, "/run/b", 0700, NULL), 0, NULL);
    EXPECT_EQ(tree_add_dir(&tree, "/run/lock", 0755, NULL), 0, "which this machine has");
    EXPECT_EQ(tree_add_dir(&tree, "/run/on the way", 0755, NULL), 0, NULL);
    EXPECT_EQ(tree_add_dir(&tree, "/tmp", 01777, NULL), 0, NULL);
    EXPECT_EQ(tree_add_data(&tree, "/run/file", "x", 1, 0644, NULL), 0, NULL);
    EXPECT_EQ(tmpfiles_add(&tree, &files, NULL), 0, NULL);
    static const struct {
        const char *path;
        mode_t mode;
        u32 uid, gid;
    } wanted[] = {
        {"/run/a", 0750, 33, 44},       {"/run/b", 0700, 0, 0},          {"/run/b/c", 02775, 0, 0},
        {"/run/two words", 0700, 0, 0}, {"/run/u", 0711, 33, 0},         {"/run/v/w", 0711, 33, 0},
        {"/var/lib/s", 0755, 33, 0},    {"/run/b/text", 0644, 0, 0},     {"/run/m", 0755, 55, 66},
        {"/run/n", 0755, 0, 0},         {"/run/on the way", 0710, 7, 8}, {"/tmp", 01777, 0, 0},
        {"/run/file", 0644, 0, 0},      {"/run/lock", 0700, 7, 8},       {"/run/i", 02755, 55, 66},
    };
    const struct passwd *apt = getpwnam("_apt");
    const struct tree_node *of_apt = tree_find(&tree, "/run/apt");
    REQUIRE(of_apt, NULL);
    EXPECT_EQ(of_apt->uid, apt ? apt->pw_uid : 0, "a name that begins with '_'");
    EXPECT_EQ(of_apt->gid, apt ? apt->pw_gid : 0, "its own group");
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        const struct tree_node *node = tree_find(&tree, wanted[i].path);
        REQUIRE(node, wanted[i].path);
        EXPECT_EQ(node->mode, wanted[i].mode, wanted[i].path);
        EXPECT_EQ(node->uid, wanted[i].uid, wanted[i].path);
        EXPECT_EQ(node->gid, wanted[i].gid, wanted[i].path);
    }
    EXPECT_STR(buf_text(&tree_find(&tree, "/run/b/text")->data), "some words", NULL);
    EXPECT_STR(tree_find(&tree, "/run/link")->source, "/run/a", NULL);
    static const char *const absent[] = {"/run/no", "/run/o", "/run/%i",   "/run/from", "/run/i/to",
                                         "/etc/i",  "/x",     "/relative", "/dev/x"};
    for (size_t i = 0; i < ARRAY_LEN(absent); i++)
        EXPECT_TRUE(!tree_find(&tree, absent[i]), absent[i]);
    strs_free(&files);
    tree_free(&tree);
    fs_tmpdir_remove(&root);
}

TEST(a_family_of_packages)
{
    struct dpkg dpkg;
    struct strs names = {0};

    root = fs_tmpdir(NULL, NULL);
    free(put(
        "status",
        "Package: srv-bin\nSource: srv (1.2)\nDepends: libsrv1, srv-extra, icons-data, other\n\n"
        "Package: srv\nDepends: srv-bin\n\nPackage: libsrv1\nSource: srv\n\n"
        "Package: srv-extra\nSource: srv\nDepends: more-common\n\nPackage: icons-data\n\n"
        "Package: other\nDepends: others-data\n\nPackage: more-common\n\n"
        "Package: others-data\n\nPackage: srv-plugin\nSource: srv\nDepends: srv-bin (= 1)\n\n"
        "Package: srv-doc\nSource: srv\nDepends: srv-bin\n\n"
        "Package: srv-client\nSource: srv\n\nPackage: friend\nDepends: srv-bin\n"));
    free(put("info/srv-bin.list", "/etc/srv\n/etc/meet\n"));
    free(put("info/srv-plugin:amd64.list", "/etc/srv\n"));
    free(put("info/srv-client.list", "/etc/srv\n"));
    free(put("info/friend.list", "/etc/meet\n"));
    dpkg_open(&dpkg, root);
    dpkg_family(&dpkg, "srv-bin", &names);
    static const char *const wanted[] = {"srv-bin",     "libsrv1", "srv-extra", "icons-data",
                                         "more-common", "srv",     "srv-plugin"};
    REQUIRE(names.len == ARRAY_LEN(wanted), NULL);
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
        EXPECT_STR(names.at[i], wanted[i], NULL);
    EXPECT_TRUE(!dpkg_is_shared(&dpkg, "/etc/srv", &names),
                "its own, its plugin's, and its source's");
    EXPECT_TRUE(dpkg_is_shared(&dpkg, "/etc/meet", &names), "a friend's, too");
    strs_free(&names);
    dpkg_close(&dpkg);
    fs_tmpdir_remove(&root);
}

static void add_conf(struct tree *tree, const char *guest, const char *text)
{
    char *path = put(fs_name(guest), text);

    REQUIRE(!tree_add_file(tree, guest, path, NULL), guest);
    free(path);
}

TEST(configuration_names_files)
{
    struct tree tree = {0};

    root = fs_tmpdir(NULL, NULL);
    add_conf(&tree, "/etc/own/a.conf",
             "key=/etc/debian_version; pid \"/var/run/own/a.pid\"\n"
             "# see /etc/ld.so.conf\n"
             "shell /usr/bin/env /etc/passwd /etc/shadow\n"
             "odd /etc/../etc/ld.so.conf ${base}/etc/ld.so.conf /etc/*.conf x/etc/ld.so.conf\n"
             "store (/var/cache) /var/lib/dpkg\n");
    add_conf(&tree, "/etc/own/mods-available/off", "/etc/login.defs\n");
    add_conf(&tree, "/etc/own/mods-available/on", "/etc/nsswitch.conf\n");
    EXPECT_EQ(tree_add_link(&tree, "/etc/own/mods-enabled/on", "../mods-available/on", NULL), 0,
              NULL);
    EXPECT_EQ(configured_add_named(&tree, NULL), 0, NULL);
    static const char *const there[] = {"/etc/debian_version", "/run/own", "/var/lib/dpkg",
                                        "/etc/nsswitch.conf"};
    for (size_t i = 0; i < ARRAY_LEN(there); i++)
        EXPECT_TRUE(tree_follow(&tree, there[i]), there[i]);
    static const char *const absent[] = {"/etc/ld.so.conf",     "/usr/bin/env",    "/etc/passwd",
                                         "/etc/shadow",         "/etc/login.defs", "/var/cache",
                                         "/var/lib/dpkg/status"};
    for (size_t i = 0; i < ARRAY_LEN(absent); i++)
        EXPECT_TRUE(!tree_follow(&tree, absent[i]), absent[i]);
    tree_free(&tree);
    fs_tmpdir_remove(&root);
}
