// What unwinds in C++: exceptions through the C library's own frames (qsort, system calls that a
// cancellation ends), out of threads, nested, with destructors of thread_local; async and futures.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cxxabi.h>
#include <exception>
#include <execinfo.h>
#include <future>
#include <mutex>
#include <poll.h>
#include <pthread.h>
#include <stdexcept>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

static std::atomic<int> destroyed;

struct Counted {
    ~Counted() { destroyed++; }
};

static thread_local Counted *volatile touched;
static thread_local Counted local;

static int compare(const void *, const void *)
{
    Counted guard;
    throw std::runtime_error("out of qsort");
}

static void through_the_c_library()
{
    int numbers[64] = {3, 1, 2};
    try {
        qsort(numbers, 64, sizeof(int), compare);
    } catch (const std::exception &e) {
        printf("%s, %d destroyed\n", e.what(), destroyed.load());
    }
}

static int nested(int depth)
{
    Counted guard;
    if (!depth)
        throw std::invalid_argument("bottom");
    try {
        return nested(depth - 1) + 1;
    } catch (const std::exception &e) {
        if (depth % 3)
            throw;
        std::throw_with_nested(std::logic_error("level " + std::to_string(depth)));
    }
}

static std::string unnest(const std::exception &e)
{
    try {
        std::rethrow_if_nested(e);
    } catch (const std::exception &inner) {
        return std::string(e.what()) + " < " + unnest(inner);
    }
    return e.what();
}

// Cancelled inside a patched call: the stack unwinds from there by the library's own tables.
static void *waits(void *arg)
{
    Counted guard;
    touched = &local;
    (void)arg;
    try {
        for (;;)
            poll(nullptr, 0, 10000);
    } catch (abi::__forced_unwind &) {
        printf("unwound by a cancellation\n");
        throw;
    }
}

static void cancel(bool asynchronous)
{
    pthread_t thread;
    void *result;
    int before = destroyed;
    pthread_create(&thread, nullptr, waits, &asynchronous);
    usleep(20000);
    pthread_cancel(thread);
    pthread_join(thread, &result);
    printf("cancelled %d, %d destroyed\n", result == PTHREAD_CANCELED, destroyed - before);
}

static __attribute__((noinline)) int count_frames()
{
    void *frames[64];
    return backtrace(frames, 64);
}

static __attribute__((noinline)) int below(int n)
{
    int frames = n ? below(n - 1) : count_frames();
    asm volatile("" : "+r"(frames));
    return frames;
}

int main()
{
    through_the_c_library();
    try {
        nested(10);
    } catch (const std::exception &e) {
        printf("%s\n", unnest(e).c_str());
    }
    std::vector<std::future<int>> futures;
    for (int i = 0; i < 8; i++)
        futures.push_back(std::async(std::launch::async, [i] {
            touched = &local;
            if (i % 2)
                throw i;
            return i;
        }));
    int sum = 0, thrown = 0;
    for (auto &f : futures)
        try {
            sum += f.get();
        } catch (int i) {
            thrown += i;
        }
    printf("async %d, thrown %d\n", sum, thrown);
    cancel(false);
    std::mutex mutex;
    std::condition_variable condition;
    std::unique_lock<std::mutex> lock(mutex);
    auto state = condition.wait_for(lock, std::chrono::milliseconds(5));
    printf("timed out %d\n", state == std::cv_status::timeout);
    printf("ten frames more %d\n", below(10) - below(0));
    std::exception_ptr kept;
    std::thread([&kept] {
        try {
            throw std::string("from a thread");
        } catch (...) {
            kept = std::current_exception();
        }
    }).join();
    try {
        std::rethrow_exception(kept);
    } catch (const std::string &s) {
        printf("%s\n", s.c_str());
    }
    fflush(stdout);
    std::set_terminate([] {
        (void)!write(1, "terminate\n", 10);
        _exit(7);
    });
    std::thread([] { throw 1; }).join();
}
