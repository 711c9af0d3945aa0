// A restart is required: for an ESD system's own program, in a Windows guest.
//
//     csc restart-required.cs && restart-required.exe
//
// It is the snippet of MED-V's page with `eventName` bound to its constant. The event is open to
// everybody, with the right to modify its state and no other: ask for more and Windows refuses.

using System;
using System.Security.AccessControl;
using System.Threading;

internal static class RestartRequired
{
    /// <summary>
    /// The guest is required to be restarted due to an ESD update.
    /// </summary>
    public const string MedvGuestRebootRequiredEventName = @"Global\MedvGuestRebootRequiredEvent";

    private static int Main()
    {
        try
        {
            using (EventWaitHandle notificationEvent = EventWaitHandle.OpenExisting(
                MedvGuestRebootRequiredEventName, EventWaitHandleRights.Modify))
            {
                notificationEvent.Set();
            }
            return 0;
        }
        catch (WaitHandleCannotBeOpenedException)
        {
            Console.Error.WriteLine("The Guest Update Service does not run here.");
            return 3;
        }
    }
}
