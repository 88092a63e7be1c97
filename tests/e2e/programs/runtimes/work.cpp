// std::thread, condition variables, futures, exceptions across threads, OpenMP, thread-local storage.
#include <condition_variable>
#include <cstdio>
#include <future>
#include <mutex>
#include <numeric>
#include <queue>
#include <stdexcept>
#include <thread>
#include <vector>

static thread_local int mine = 1;

int main()
{
    std::queue<int> queue;
    std::mutex lock;
    std::condition_variable filled;
    long taken = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; t++)
        threads.emplace_back([&] {
            for (int n = -1; n != 0; mine += n) {
                std::unique_lock<std::mutex> held(lock);
                filled.wait(held, [&] { return !queue.empty(); });
                n = queue.front();
                queue.pop();
                taken += n;
            }
        });
    for (int n = 1; n <= 5000; n++) {
        std::lock_guard<std::mutex> held(lock);
        queue.push(n);
        filled.notify_one();
    }
    for (int t = 0; t < 4; t++) {
        std::lock_guard<std::mutex> held(lock);
        queue.push(0);
        filled.notify_all();
    }
    for (auto &thread : threads)
        thread.join();
    printf("%ld %d\n", taken, mine);

    auto thrown = std::async(std::launch::async, []() -> int { throw std::runtime_error("from a thread"); });
    try {
        thrown.get();
    } catch (const std::exception &error) {
        printf("%s\n", error.what());
    }

    double sum = 0;
    int most = 0;
#pragma omp parallel for num_threads(4) reduction(+ : sum) reduction(max : most) schedule(dynamic, 100)
    for (int i = 0; i < 100000; i++) {
        sum += i % 13;
        most = i % 101 > most ? i % 101 : most;
    }
#pragma omp parallel num_threads(4)
#pragma omp critical
    taken++;
    printf("%.0f %d %ld\n", sum, most, taken);
    return 9;
}
