// Four threads add up a vector, one of them fails and says so by an exception.
#include <atomic>
#include <iostream>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

int main()
{
    std::vector<long> numbers(1'000'000);
    std::iota(numbers.begin(), numbers.end(), 1);

    std::atomic<long> sum = 0;
    std::vector<std::thread> threads;
    for (size_t part = 0; part < 4; part++)
        threads.emplace_back([&, part] {
            size_t size = numbers.size() / 4;
            auto first = numbers.begin() + part * size;
            sum += std::accumulate(first, first + size, 0L);
        });
    for (auto &thread : threads)
        thread.join();
    std::cout << "sum: " << sum << '\n';

    try {
        numbers.at(numbers.size()) = 0;
    } catch (const std::out_of_range &) {
        std::cout << "caught: out of range\n";
    }
}
