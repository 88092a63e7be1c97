// C++: exceptions through frames with destructors, thread_local objects, static initialisation,
// iostreams, std::thread.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <regex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

static int failures, cases;

static void check(bool good, const char *name)
{
    std::cout << (good ? "ok " : "not ok ") << name << std::endl;
    failures += !good;
    cases++;
}

static int alive;
struct Counted {
    Counted() { alive++; }
    ~Counted() { alive--; }
};

static int thrower(int depth)
{
    Counted here;
    if (depth == 0)
        throw std::runtime_error("from the deep");
    return thrower(depth - 1) + 1;
}

static std::map<std::string, int> table = {{"one", 1}, {"two", 2}};
static std::atomic<int> ended{0};
struct Ender {
    int value = 5;
    ~Ender() { ended++; }
};
static thread_local Ender ender;
static thread_local std::string name = "initial";

static bool exceptions()
{
    try {
        thrower(20);
    } catch (const std::exception &error) {
        return alive == 0 && std::string(error.what()) == "from the deep";
    }
    return false;
}

static bool exceptions_in_threads()
{
    std::atomic<int> caught{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++)
        threads.emplace_back([&] {
            for (int j = 0; j < 50; j++)
                try {
                    std::vector<int>().at(1);
                } catch (std::out_of_range &) {
                    caught++;
                }
        });
    for (auto &thread : threads)
        thread.join();
    return caught == 200;
}

static bool thread_locals()
{
    bool good = true;
    name = "main";
    for (int i = 0; i < 3; i++)
        std::thread([&] {
            good = good && name == "initial" && ender.value == 5;
            name = "other";
        }).join();
    return good && name == "main" && ended == 3;
}

static bool condition()
{
    std::mutex mutex;
    std::condition_variable cv;
    bool ready = false;
    std::thread thread([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        std::lock_guard<std::mutex> lock(mutex);
        ready = true;
        cv.notify_one();
    });
    std::unique_lock<std::mutex> lock(mutex);
    cv.wait(lock, [&] { return ready; });
    lock.unlock();
    thread.join();
    return ready;
}

int main(int argc, char **argv)
{
    check(argc == 4 && std::string(argv[2]) == "two words", "arguments");
    check(table["two"] == 2, "static_initialisation");
    check(exceptions(), "exceptions");
    check(exceptions_in_threads(), "exceptions_in_threads");
    check(thread_locals(), "thread_local_objects");
    check(condition(), "condition_variable");
    check(std::regex_match("abc123", std::regex("[a-z]+[0-9]+")), "regex");
    check(std::make_shared<std::string>("x")->size() == 1, "shared_ptr");
    std::cout << "1.." << cases << std::endl;
    return failures;
}
