# A restart is required: for an ESD system's script, in a Windows guest. Windows PowerShell 5.1.

$name = 'Global\MedvGuestRebootRequiredEvent'
# The right to modify its state and no other: ask for more and Windows refuses.
$modify = [System.Security.AccessControl.EventWaitHandleRights]::Modify
try {
    $restartRequired = [System.Threading.EventWaitHandle]::OpenExisting($name, $modify)
} catch [System.Threading.WaitHandleCannotBeOpenedException] {
    Write-Error 'The Guest Update Service does not run here.' -ErrorAction Continue
    exit 3
}
try {
    [void] $restartRequired.Set()
} finally {
    $restartRequired.Dispose()
}
