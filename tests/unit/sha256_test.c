/* SHA-256 by code and, where this CPU has them, by instructions: the same.  Vectors of FIPS 180-4.
 */
#include "lib/sha256.h"

#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/sha256_blocks.h"
#include "unit/test.h"

TEST(sha256_gives_the_standards_examples)
{
    struct sha256_hex none = sha256_bytes("", 0), abc = sha256_bytes("abc", 3);
    struct sha256_hex two =
        sha256_bytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56);

    EXPECT_STR(none.text, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", NULL);
    EXPECT_STR(abc.text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", NULL);
    EXPECT_STR(two.text, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1", NULL);
}

TEST(sha256_of_a_file_is_that_of_its_bytes)
{
    enum { MILLION = 1000000 };
    char *dir CLEANUP(fs_tmpdir_remove) = fs_tmpdir(NULL, NULL);
    char *path CLEANUP(mem_free) = fs_join(dir, "a");
    char *bytes CLEANUP(mem_free) = mem_new(MILLION);
    struct sha256_hex hex;
    u64 size = 0;

    memset(bytes, 'a', MILLION);
    REQUIRE(!fs_write(path, bytes, MILLION, 0600, NULL), NULL);
    REQUIRE(!sha256_file(path, &hex, &size, NULL), NULL);
    EXPECT_EQ(size, MILLION, NULL);
    EXPECT_STR(hex.text, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0", NULL);
    EXPECT_STR(sha256_bytes(bytes, MILLION).text, hex.text, NULL);
}

TEST(sha256_instructions_do_what_the_code_does)
{
    enum { BLOCKS = 7 };
    u32 by_code[8], by_instruction[8];
    u8 bytes[BLOCKS * SHA256_BLOCK + 1];

    if (!sha256_has_instructions())
        return;
    for (u32 i = 0; i < sizeof(bytes); i++)
        bytes[i] = (u8)(i * 167 + i / 3);
    for (u32 i = 0; i < 8; i++)
        by_code[i] = by_instruction[i] = i * 0x9e3779b9;
    for (u32 n = 0; n <= BLOCKS; n++) {
        sha256_blocks(by_code, bytes + n % 2, n, false);
        sha256_blocks(by_instruction, bytes + n % 2, n, true);
        EXPECT_MEM(by_instruction, by_code, sizeof(by_code), NULL);
    }
}
