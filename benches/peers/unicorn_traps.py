"""Python's unicorn at an int 3 over and over, with an interrupt hook that reads registers and stack.

unicorn_traps.py words|block|least ROUNDS SAMPLES: prints for each sample how many traps were timed, and the
nanoseconds they took.

words  the hook reads RIP, RSP and the eleven return addresses of the golden stack where they lie
block  RIP, RSP and eleven words in a row at RSP, with one read: less than a stack needs
least  the words in a row alone, at an address known before
"""
import sys
import time

from unicorn import UC_ARCH_X86, UC_HOOK_INTR, UC_MODE_64, Uc
from unicorn.x86_const import UC_X86_REG_RBX, UC_X86_REG_RCX, UC_X86_REG_RIP, UC_X86_REG_RSP

# The code of benches/fixture/bare.rs: cmp ebx,[4000h]; je 2000h
COMPARE = bytes.fromhex("3b1dfa2f0000 0f84f40f0000")
# int 3; jmp 3000h
HIT = bytes.fromhex("cc e9fa0f0000")
# call 300fh; dec rcx; jne 1000h; hlt; ret
BACK = bytes.fromhex("e80a000000 48ffc9 0f85f2dfffff f4 c3")

# The low half of the kernel stack's address: without paging, code cannot use the whole of it.
KERNEL_STACK, USER_STACK = 0x4EC0000, 0xDF000
STACK_BYTES = 0x2000
RSP = 0x4EC1680
# Where the golden stack has them, from tests/golden/session.txt: below the next frame's Child-SP. The
# one of KiSystemServiceCopyEnd is in its trap frame; the last is above NotMyfault's 58h bytes.
SLOTS = [
    *(0x4EC1000 + at for at in (0x768, 0x858, 0x9A8, 0xA08, 0xB38, 0xBA8, 0xD88)),
    *(USER_STACK + at for at in (0x4C8, 0x538, 0x588, 0x5E8)),
]


def hook_of_words(hits):
    def hook(uc, _number, _data):
        rip, rsp = uc.reg_read(UC_X86_REG_RIP), uc.reg_read(UC_X86_REG_RSP)
        hits[0] = rip, rsp, [uc.mem_read(slot, 8) for slot in SLOTS]
        hits[1] += 1

    return hook


def hook_of_block(hits):
    size = 8 * len(SLOTS)

    def hook(uc, _number, _data):
        rip, rsp = uc.reg_read(UC_X86_REG_RIP), uc.reg_read(UC_X86_REG_RSP)
        hits[0] = rip, rsp, uc.mem_read(rsp, size)
        hits[1] += 1

    return hook


def hook_of_least(hits):
    size = 8 * len(SLOTS)

    def hook(uc, _number, _data):
        hits[0] = 0x2001, RSP, uc.mem_read(RSP, size)
        hits[1] += 1

    return hook


HOOKS = {"words": hook_of_words, "block": hook_of_block, "least": hook_of_least}


def main():
    kind, rounds, samples = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    assert len(SLOTS) == 11
    uc = Uc(UC_ARCH_X86, UC_MODE_64)
    uc.mem_map(0x1000, 0x5000)
    uc.mem_map(KERNEL_STACK, STACK_BYTES)
    uc.mem_map(USER_STACK, STACK_BYTES)
    uc.mem_write(0x1000, COMPARE)
    uc.mem_write(0x2000, HIT)
    uc.mem_write(0x3000, BACK)
    for number, slot in enumerate(SLOTS):
        uc.mem_write(slot, number.to_bytes(8, "little"))
    uc.reg_write(UC_X86_REG_RBX, 0)
    hits = [None, 0]
    uc.hook_add(UC_HOOK_INTR, HOOKS[kind](hits))
    for _ in range(samples):
        hits[1] = 0
        uc.reg_write(UC_X86_REG_RCX, rounds)
        uc.reg_write(UC_X86_REG_RSP, RSP)
        start = time.perf_counter_ns()
        uc.emu_start(0x1000, 0)
        taken = time.perf_counter_ns() - start
        assert hits[1] == rounds and hits[0][:2] == (0x2001, RSP), hits
        if kind == "words":
            assert [int.from_bytes(word, "little") for word in hits[0][2]] == list(range(11))
        print(rounds, taken)


if __name__ == "__main__":
    main()
