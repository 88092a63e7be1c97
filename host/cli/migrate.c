/* ingot migrate: a running VM goes on elsewhere.
 *
 * Two helpers run where it goes (here, or by ssh): `ingot receive`, which makes the instance and
 * waits until the guest runs, and `ingot receive --connect`, between whose standard input and
 * output and this QEMU the state flows.  Until the first of them says that the guest runs there, it
 * goes on here if something fails; it is ended here only after that.  One whose word is lost may
 * have all of the state: a third helper, `ingot receive --ask`, says what became of it before
 * anything runs here.  So there are never two.  A fork of ours waits for our own end: if we were
 * killed, it finishes what was begun. */
#include "cli/cli.h"
#include "cli/instances.h"
#include "cli/migrate_priv.h"
#include "cli/run_priv.h"

#include "instance/events.h"
#include "instance/instance.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/own.h"
#include "lib/qmp.h"
#include "lib/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    DOWNTIME_MS = 50,
    MONITOR_MS = 10000,
    LOOK_MS = 1,
    SWITCH_MS = 1000, /* of copying before post-copy, if it was asked for */
    ARRIVE_MS = 30000,
    ASK_MS = 90000,
};

struct migrate_options {
    const char *downtime, *net;
    bool postcopy, quiet, shared;
};

#define OPTION(field) offsetof(struct migrate_options, field)

static const struct option_spec migrate_specs[] = {
    {"downtime", 0, OPTION_TEXT, OPTION(downtime), "TIME", "how long it may stand still (50ms)"},
    {"postcopy", 0, OPTION_FLAG, OPTION(postcopy), NULL, "switch over before all memory is there"},
    {"net", 0, OPTION_TEXT, OPTION(net), "KIND", "its network there, as --net of run"},
    {"shared", 0, OPTION_FLAG, OPTION(shared), NULL, "its volumes are the same files at both ends"},
    {"quiet", 'q', OPTION_FLAG, OPTION(quiet), NULL, "print its name only"},
    {0},
};

/* Everything of one migration that must be ended, however it goes. */
struct move {
    const char *name; /* of the instance; borrowed, as the next two */
    const struct place *place;
    const struct migrate_options *options;
    pid_t receiver, carrier; /* 0: none, or reaped */
    int words;               /* what the receiver complains about; -1 for none */
    int state;               /* our end of what the carrier carries; -1 once QEMU has it */
    const char *token;       /* tells this migration from any other of that name; borrowed */
    bool arrived;            /* it runs there */
    u64 started_at;          /* ticks */
    u64 stopped_at;          /* if we stopped the guest, and not QEMU; else 0 */
    const char *net;         /* of the instance here, as --net has it; borrowed */
    struct frames frames;
    struct volume_moves volumes;
    struct image_move image;
    struct qmp qmp;
};

static void end_helper(pid_t *pid)
{
    if (*pid > 0) {
        kill(*pid, SIGTERM);
        waitpid(*pid, NULL, 0);
    }
    *pid = 0;
}

static void move_end(struct move *move)
{
    frames_end(&move->frames);
    qmp_close(&move->qmp);
    fd_close(&move->words);
    fd_close(&move->state);
    end_helper(&move->receiver);
    end_helper(&move->carrier);
}

/* The receiver, with what it has to know. */
static int start_receiver(struct move *move, const json_t *arrival, struct err *err)
{
    static const char *const words[] = {"receive", NULL};
    int in[2], errors[2];
    char *text CLEANUP(mem_free) = json_text(arrival, 0);

    if (pipe2(in, O_CLOEXEC) < 0)
        return err_errno(err, errno, "a pipe");
    if (pipe2(errors, O_CLOEXEC) < 0) {
        close(in[0]);
        close(in[1]);
        return err_errno(err, errno, "a pipe");
    }
    move->words = errors[0];
    move->receiver = place_start(move->place, words, in[0], errors[1], errors[1]);
    close(in[0]);
    close(errors[1]);
    bool sent = move->receiver > 0 && write(in[1], text, strlen(text)) == (ssize_t)strlen(text);
    close(in[1]);
    return sent ? 0 : err_errno(err, errno, "'ingot receive' at %s", move->place->text);
}

static int start_carrier(struct move *move, struct err *err)
{
    const char *const words[] = {"receive", "--connect", move->name, "--token", move->token, NULL};
    int pair[2], null CLEANUP(fd_close) = open("/dev/null", O_WRONLY | O_CLOEXEC);

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(err, errno, "a socket");
    move->state = pair[0];
    move->carrier = place_start(move->place, words, pair[1], pair[1], null);
    close(pair[1]);
    return move->carrier > 0 ? 0 : err_errno(err, errno, "a process");
}

/* It has said the name, so it runs; or ended: then an error with its words. */
static bool has_arrived(struct move *move, int *result, struct err *err)
{
    struct pollfd entry = {.fd = move->words, .events = POLLIN};
    char words[1024];

    if (poll(&entry, 1, 0) <= 0)
        return false;
    ssize_t got = read(move->words, words, sizeof(words) - 1);
    words[max(got, (ssize_t)0)] = 0;
    *result = 0;
    if (str_starts(words, move->name) && words[strlen(move->name)] == '\n')
        return true;
    char *text = str_starts(words, "ingot receive: ") ? words + strlen("ingot receive: ") : words;
    text[strcspn(text, "\r\n")] = 0;
    *result = err_set(err, EIO, "%s: %s", move->place->text,
                      *text ? text : "what waited for it has ended");
    return true;
}

static int set_capability(struct qmp *qmp, const char *name, bool on, struct err *err)
{
    return qmp_call(
        qmp, "migrate-set-capabilities",
        json_pack("{s:[{s:s, s:b}]}", "capabilities", "capability", name, "state", (int)on), NULL,
        err);
}

/* Until a VMM waits at the other end. */
static int wait_ready(struct move *move, struct err *err)
{
    struct pollfd entry = {.fd = move->state, .events = POLLIN};
    u64 deadline = ticks_ms() + ARRIVE_MS;
    int result = 0;
    char hello;

    while (poll(&entry, 1, LOOK_MS) <= 0) {
        if (has_arrived(move, &result, err))
            return result;
        if (signals_came())
            return err_set(err, EINTR, "interrupted");
        if (ticks_ms() >= deadline)
            return err_set(err, ETIMEDOUT, "%s: nothing waits for it there", move->place->text);
    }
    return read(move->state, &hello, 1) == 1
               ? 0
               : err_set(err, EIO, "%s: the connection broke", move->place->text);
}

/* Emulated, a guest is stopped before it is copied: QEMU loses writes of one that runs. (When it
 * has looked which pages are dirty, TCG's own notes of pages that need no look stay as they are for
 * pages that were not sent yet: cpu_physical_memory_sync_dirty_bitmap(), QEMU 7.2 to 9.) */
static int stop_emulated(struct move *move, struct err *err)
{
    json_t *kvm CLEANUP(json_put) = NULL;
    int failed = qmp_call(&move->qmp, "query-kvm", NULL, &kvm, err);

    if (failed || json_is_true(json_object_get(kvm, "enabled")))
        return failed;
    move->stopped_at = ticks_ms();
    return qmp_call(&move->qmp, "stop", NULL, NULL, err);
}

static int set_up(struct move *move, const struct instance *instance, u64 downtime_ms,
                  struct err *err)
{
    struct qmp *qmp = &move->qmp;
    int failed = qmp_open(qmp, instance_connect(instance, "qmp"), MONITOR_MS, err);

    if (!failed)
        failed = set_capability(qmp, "auto-converge", true, err);
    if (!failed)
        failed = set_capability(qmp, "postcopy-ram", move->options->postcopy, err);
    if (!failed)
        failed = qmp_call(qmp, "migrate-set-parameters",
                          json_pack("{s:I, s:I}", "max-bandwidth", (json_int_t)GIB(64),
                                    "downtime-limit", (json_int_t)downtime_ms),
                          NULL, err);
    if (!failed)
        failed = qmp_give_fd(qmp, "migrate", move->state, err);
    fd_close(&move->state);
    move->state = -1;
    return failed;
}

/* Memory can be followed while it changes, and disks are not. */
static int finish_volumes(struct move *move, struct err *err)
{
    int failed = 0;

    if (!move->volumes.len)
        return 0;
    if (!move->stopped_at) {
        move->stopped_at = ticks_ms();
        failed = qmp_call(&move->qmp, "stop", NULL, NULL, err);
    }
    return failed ? failed : volume_moves_finish(&move->volumes, err);
}

static int start_sending(struct move *move, struct err *err)
{
    move->started_at = ticks_ms();
    int failed = stop_emulated(move, err);

    if (!failed)
        failed = finish_volumes(move, err);
    if (!failed)
        failed =
            qmp_call(&move->qmp, "migrate", json_pack("{s:s}", "uri", "fd:migrate"), NULL, err);
    return failed;
}

/* Until QEMU has sent everything, or cannot. @answer: its last word about it. */
static int wait_sent(struct move *move, json_t **answer, struct err *err)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    u64 switch_at = ticks_ms() + (move->stopped_at ? 0 : SWITCH_MS);
    bool switched = !move->options->postcopy;

    for (;;) {
        int result;
        json_put(answer);
        *answer = NULL;
        int failed = qmp_call(&move->qmp, "query-migrate", NULL, answer, err);
        if (failed)
            return failed;
        const char *status = json_str(*answer, "status", "");
        if (strcmp(status, "completed") == 0)
            return 0;
        if (!move->stopped_at && strcmp(status, "active") == 0 && !move->options->postcopy)
            frames_forget(&move->frames); /* it runs here and has them */
        if (!move->arrived && has_arrived(move, &result, err)) {
            if (result)
                return result;
            move->arrived = true;
        }
        if (!move->arrived && signals_came())
            return err_set(err, EINTR, "interrupted");
        if (strcmp(status, "failed") == 0 || strcmp(status, "cancelled") == 0 ||
            strcmp(status, "postcopy-paused") == 0)
            return err_set(err, EIO, "%s: the connection broke", move->place->text);
        if (!switched && strcmp(status, "active") == 0 && ticks_ms() >= switch_at) {
            switched = true;
            failed = qmp_call(&move->qmp, "migrate-start-postcopy", NULL, NULL, err);
            if (failed)
                return failed;
        }
        nanosleep(&pause, NULL);
    }
}

/* Sent is not arrived: its own word decides. */
static int wait_arrived(struct move *move, struct err *err)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    u64 deadline = ticks_ms() + ARRIVE_MS;
    int result = 0;

    while (!move->arrived && !has_arrived(move, &result, err)) {
        if (signals_came())
            return err_set(err, EINTR, "interrupted");
        if (ticks_ms() >= deadline)
            return -ETIMEDOUT;
        nanosleep(&pause, NULL);
    }
    return result;
}

/* It was sent, and nobody says whether it arrived. */
static bool is_uncertain(int failed, const struct err *err)
{
    return failed == -ETIMEDOUT && !err->code;
}

/* From here on nothing more of the state gets there. */
static void call_off(struct move *move)
{
    (void)qmp_call(&move->qmp, "migrate_cancel", NULL, NULL, NULL);
    end_helper(&move->carrier);
}

/* A migration that was sent, or that we stopped it for, has left the guest standing still.  False:
 * it has ended meanwhile. */
static bool go_back(struct move *move, const struct instance *instance)
{
    struct instance_state state;

    if (move->qmp.fd >= 0)
        return !qmp_call(&move->qmp, "cont", NULL, NULL, NULL);
    instance_get_state(instance, &state);
    return state.status == INSTANCE_RUNNING;
}

/* All of it; also where our own VMM does not say. */
static bool was_sent(struct move *move)
{
    json_t *answer CLEANUP(json_put) = NULL;

    return qmp_call(&move->qmp, "query-migrate", NULL, &answer, NULL) ||
           strcmp(json_str(answer, "status", ""), "completed") == 0;
}

/* What became of it there, which may take as long as its VMM needs to see that nothing more comes.
 * Nobody can say when the other end is out of reach. */
static enum fate ask(const struct move *move)
{
    const char *const words[] = {"receive", "--ask", move->name, "--token", move->token, NULL};
    int out[2], null CLEANUP(fd_close) = open("/dev/null", O_RDWR | O_CLOEXEC);
    char answer[32] = "";

    if (pipe2(out, O_CLOEXEC) < 0)
        return FATE_UNKNOWN;
    pid_t asked = place_start(move->place, words, null, out[1], null);
    close(out[1]);
    struct pollfd entry = {.fd = out[0], .events = POLLIN};
    if (asked > 0 && poll(&entry, 1, ASK_MS) > 0)
        (void)!read(out[0], answer, sizeof(answer) - 1);
    close(out[0]);
    end_helper(&asked);
    return str_starts(answer, FATE_RUNS_WORD)   ? FATE_RUNS
           : str_starts(answer, FATE_GONE_WORD) ? FATE_GONE
                                                : FATE_UNKNOWN;
}

/* After a failure on the way: 0 if it runs there all the same, and all of it is there. */
static int ask_after(struct move *move, int failed, struct err *err)
{
    if (!move->started_at || move->arrived) /* nothing was sent; or it said that it runs */
        return failed;
    call_off(move);
    bool sent = was_sent(move);
    enum fate fate = sent || move->options->postcopy ? ask(move) : FATE_GONE;
    if (fate == FATE_GONE)
        return is_uncertain(failed, err)
                   ? err_set(err, EIO, "%s: it did not begin to run", move->place->text)
                   : failed;
    if (fate == FATE_UNKNOWN) {
        err_clear(err);
        return -ETIMEDOUT;
    }
    move->arrived = true;
    if (!sent)
        return failed;
    err_clear(err);
    return 0;
}

static int leave(struct instance *instance, const struct place *place, struct err *err)
{
    char *name CLEANUP(mem_free) = str_dup(instance->name);
    int failed = instances_stop(instance, 0, err);

    if (!failed)
        failed = instance_lock(instance, err);
    if (!failed)
        failed = instance_remove(instance, err);
    if (!failed)
        event_write(name, "migrate", json_pack("{s:s}", "To", place->text));
    return failed ? err_prefix(err, "it runs at %s, but here", place->text) : 0;
}

/* Another machine may not have it. */
static int send_image(struct move *move, const json_t *config, struct err *err)
{
    char size[16];
    u64 sent = 0;
    int failed = image_move_begin(&move->image, move->place, json_str(config, "ImageId", ""),
                                  move->name, move->token, &sent, err);

    if (!failed && sent && !move->options->quiet)
        fprintf(stderr, "ingot migrate: %s did not have image '%s': %s were sent\n",
                move->place->text, json_str(config, "Image", ""), cli_size(sent, size));
    return failed;
}

/* Everything up to the word that it runs there. */
static int bring(struct move *move, const struct instance *instance, const json_t *arrival,
                 u64 downtime_ms, json_t **answer, struct err *err)
{
    bool volumes = move->place->host && !move->options->shared;
    int failed = move->place->host ? send_image(move, json_object_get(arrival, "Config"), err) : 0;

    if (!failed)
        failed = volumes ? volume_moves_begin(&move->volumes, move->place,
                                              json_object_get(arrival, "Config"), err)
                         : 0;

    signals_hold(); /* from here on the guest may stand still, and helpers wait there */
    if (!failed)
        failed = start_receiver(move, arrival, err);
    if (!failed)
        failed = start_carrier(move, err);
    if (!failed)
        failed = wait_ready(move, err);
    if (!failed)
        failed = set_up(move, instance, downtime_ms, err);
    if (!failed && !move->place->host)
        frames_hear(&move->frames, move->net,
                    json_str(json_object_get(arrival, "Config"), "Net", ""));
    if (!failed)
        failed = start_sending(move, err);
    if (!failed)
        failed = wait_sent(move, answer, err);
    return failed ? failed : wait_arrived(move, err);
}

/* What becomes of the guest after a failure. */
static int stay(struct move *move, const struct instance *instance, int failed, struct err *err)
{
    const char *name = instance->name;

    if (move->arrived) /* post-copy: half of it is there, and what it did there is not here */
        return err_prefix(err,
                          "'%s' began to run at %s and cannot go on, nor here, where it stands "
                          "still as it was",
                          name, move->place->text);
    if (is_uncertain(failed, err))
        return err_set(err, ETIMEDOUT,
                       "%s does not say whether '%s' runs there; it stands still here, and 'ingot "
                       "pause %s' and 'ingot unpause %s' let it go on",
                       move->place->text, name, name, name);
    call_off(move);
    return err_prefix(err, "instance '%s' %s here", name,
                      go_back(move, instance) ? "goes on" : "does not go on");
}

/* Who waits in a session of its own for the end of `ingot migrate`: without a word from it, it was
 * killed, and what it began must come to an end, on one side. */
struct guard {
    pid_t pid;
    int word; /* to it */
};

static void guard_run(const struct move *killed, struct instance *instance, int word)
{
    struct move move = {.name = killed->name,
                        .place = killed->place,
                        .options = killed->options,
                        .token = killed->token,
                        .started_at = ticks_ms(), /* it may have been */
                        .words = -1,
                        .state = -1,
                        .frames = {-1, -1, NULL},
                        .qmp.fd = -1};
    struct err err = {0};
    char byte;

    setsid();
    if (read(word, &byte, 1) == 1)
        _exit(0);
    (void)qmp_open(&move.qmp, instance_connect(instance, "qmp"), MONITOR_MS, NULL);
    int failed = ask_after(&move, err_set(&err, EINTR, "'ingot migrate' was killed"), &err);
    failed = failed ? stay(&move, instance, failed, &err) : leave(instance, move.place, &err);
    if (failed)
        fprintf(stderr, "ingot migrate: %s\n", err.text);
    else
        fprintf(stderr, "ingot migrate: it was killed; '%s' runs at %s\n", move.name,
                move.place->text);
    _exit(1);
}

static int guard_start(struct guard *guard, const struct move *move, struct instance *instance,
                       struct err *err)
{
    int word[2];

    if (pipe2(word, O_CLOEXEC) < 0)
        return err_errno(err, errno, "a pipe");
    guard->pid = fork();
    if (guard->pid == 0) {
        close(word[1]);
        guard_run(move, instance, word[0]);
    }
    close(word[0]);
    guard->word = word[1];
    return guard->pid > 0 ? 0 : err_errno(err, errno, "a process");
}

static void guard_end(struct guard *guard)
{
    (void)!write(guard->word, "", 1);
    fd_close(&guard->word);
    if (guard->pid > 0)
        waitpid(guard->pid, NULL, 0);
}

static int move_guest(struct move *move, struct instance *instance, const json_t *arrival,
                      u64 downtime_ms, struct err *err)
{
    json_t *answer CLEANUP(json_put) = NULL;
    struct guard guard CLEANUP(guard_end) = {.word = -1};
    int failed = guard_start(&guard, move, instance, err);

    if (!failed)
        failed = bring(move, instance, arrival, downtime_ms, &answer, err);
    if (failed)
        failed = ask_after(move, failed, err);
    if (!failed)
        frames_pass_on(&move->frames);
    u64 arrived = ticks_ms();
    bool stays = !failed || move->arrived || is_uncertain(failed, err);
    volume_moves_end(&move->volumes, stays);
    image_move_end(&move->image, stays);
    if (failed)
        return stay(move, instance, failed, err);
    u64 still =
        move->stopped_at ? arrived - move->stopped_at : (u64)json_int(answer, "downtime", 0);
    failed = leave(instance, move->place, err);
    frames_pass_on(&move->frames); /* until now somebody may have believed that it is here */
    if (failed)
        return failed;
    puts(json_str(arrival, "Name", ""));
    if (!move->options->quiet)
        fprintf(stderr, "ingot migrate: it stood still for %llu ms of %llu\n",
                (unsigned long long)still, (unsigned long long)(arrived - move->started_at));
    return 0;
}

/* What must be reachable from both ends. */
static int check_volumes(const json_t *config, struct err *err)
{
    struct strs words CLEANUP(strs_free) = {0};

    json_strs(config, "Volumes", &words);
    for (size_t i = 0; i < words.len; i++) {
        char *path CLEANUP(mem_free) = NULL;
        bool readonly;
        int failed = run_volume_file(words.at[i], &path, &readonly, err);
        if (failed)
            return failed;
        if (fs_is_dir(path))
            return err_set(err, EOPNOTSUPP, "--volume '%s': a folder of the host cannot move",
                           words.at[i]);
    }
    return 0;
}

static int check_instance(const struct instance *instance, const json_t *config, struct err *err)
{
    struct instance_state state;

    instance_get_state(instance, &state);
    if (strcmp(json_str(config, "Isolation", "vm"), "vm") != 0)
        return err_set(err, EOPNOTSUPP,
                       "instance '%s' is a process of this machine; only a VM can move (run it "
                       "with --isolation vm)",
                       instance->name);
    if (!instance_is_live(instance) || state.status != INSTANCE_RUNNING)
        return err_set(err, ESRCH, "instance '%s' is not running", instance->name);
    if (state.foreground)
        return err_set(err, EINVAL, "instance '%s' runs on a terminal, so it cannot move",
                       instance->name);
    return 0;
}

static int set_token(json_t *config, struct err *err)
{
    unsigned long long number;

    if (getrandom(&number, sizeof(number), 0) != sizeof(number))
        return err_errno(err, errno, "random numbers");
    char *token CLEANUP(mem_free) = str_printf("%016llx", number);
    json_object_set_new(config, "Arriving", json_string(token));
    return 0;
}

static int migrate(const char *name, const struct place *place,
                   const struct migrate_options *options, struct err *err)
{
    struct instance instance CLEANUP(instance_close) = {.dir = -1, .lock = -1};
    struct move move CLEANUP(move_end) = {.name = name,
                                          .place = place,
                                          .options = options,
                                          .words = -1,
                                          .state = -1,
                                          .frames = {-1, -1, NULL},
                                          .qmp.fd = -1};
    unsigned long long downtime = DOWNTIME_MS;
    int failed =
        options->downtime ? cli_duration("downtime", options->downtime, &downtime, err) : 0;

    if (!failed)
        failed = instance_open(&instance, name, err);
    if (failed)
        return failed;
    json_t *config CLEANUP(json_put) = instance_config(&instance, err);
    if (!config)
        return -err->code;
    failed = check_instance(&instance, config, err);
    if (!failed)
        failed = check_volumes(config, err);
    if (failed)
        return failed;
    failed = set_token(config, err);
    if (failed)
        return failed;
    char *net CLEANUP(mem_free) = str_dup(json_str(config, "Net", ""));
    move.net = net;
    if (options->net)
        json_object_set_new(config, "Net", json_string(options->net));
    json_t *arrival CLEANUP(json_put) =
        json_pack("{s:s, s:s, s:b, s:b, s:O}", "Version", INGOT_VERSION, "Name", name, "Postcopy",
                  (int)options->postcopy, "Remote", (int)(place->host != NULL), "Config", config);
    move.token = json_str(config, "Arriving", "");
    signal(SIGPIPE, SIG_IGN);
    return move_guest(&move, &instance, arrival, downtime, err);
}

static int migrate_run(int argc, char **argv, struct err *err)
{
    struct migrate_options options = {0};
    struct place place CLEANUP(place_free) = {0};
    int words;
    int done = cli_options(&command_migrate, argc, argv, OPTIONS_ANYWHERE, &options, &words, err);

    if (done)
        return min(done, 0);
    if (words != 2)
        return err_set(err, ERR_USAGE, "write 'ingot migrate NAME DEST'");
    int failed = place_parse(argv[2], &place, err);
    if (!failed)
        failed = migrate(argv[1], &place, &options, err);
    if (failed && signals_came())
        fprintf(stderr, "ingot migrate: %s\n", err->text); /* which main() does not come to */
    if (failed)
        signals_release(); /* who was told to end, and did not get what he began, does so */
    return failed;
}

const struct command command_migrate = {
    .name = "migrate",
    .summary = "Let a running instance go on elsewhere",
    .usage = "[OPTIONS] NAME DEST",
    .options = migrate_specs,
    .help =
        "DEST is ssh://[USER@]HOST[:PORT][/STATE], where ingot is too, or another state directory\n"
        "here. An image that is not there is sent along. If anything fails, the instance goes on\n"
        "here.",
    .run = migrate_run,
};
