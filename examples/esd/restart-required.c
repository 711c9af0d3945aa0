/* A restart is required: for an ESD system's own program, in a Windows guest.
 *
 *     x86_64-w64-mingw32-gcc -o restart-required.exe restart-required.c
 *
 * Ends with 0, or with Windows' error: 2 where the Guest Update Service does not run. */

#include <windows.h>

int main(void)
{
    /* The right to modify its state and no other: ask for more and Windows refuses. */
    HANDLE event = OpenEventW(EVENT_MODIFY_STATE, FALSE, L"Global\\MedvGuestRebootRequiredEvent");
    if (event == NULL)
        return (int)GetLastError();
    BOOL done = SetEvent(event);
    DWORD error = done ? 0 : GetLastError();
    CloseHandle(event);
    return (int)error;
}
