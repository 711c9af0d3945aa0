# What Guestwake asks of Hyper-V. Started once for each driver (hyperv_shell.py); then one question
# a line comes in as JSON, and one answer a line goes out. Nothing that is asked becomes part of a
# script: names and identifiers are values, and a VM's identifier is turned into a GUID first.
# For Windows PowerShell 5.1, which every Windows has.

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ConfirmPreference = 'None'
$ProgressPreference = 'SilentlyContinue'
$WarningPreference = 'SilentlyContinue'

$Wmi = 'root/virtualization/v2'
# What ends a start of a VM (STOPPED_BY in hyperv_tables.py), and that it has started. Where that is
# the latest, its end was never written down: the host went down.
$Turns = 18502, 18504, 18508, 18510, 18528, 18608, 14070, 18500
$Logs = 'Microsoft-Windows-Hyper-V-Worker-Admin', 'Microsoft-Windows-Hyper-V-VMMS-Admin'

function Stop-WithError([string] $id, [string] $text) {
    $exception = New-Object System.Exception $text
    $category = [System.Management.Automation.ErrorCategory]::NotSpecified
    throw (New-Object System.Management.Automation.ErrorRecord $exception, $id, $category, $null)
}

# Before anything of it is called: other modules have a Get-VM too, and might be loaded for it.
function Import-Commands {
    try {
        Import-Module Hyper-V
    } catch {
        Stop-WithError 'unreachable' $_.Exception.Message
    }
}

# To who has no right to Hyper-V, Get-VM lists no VM and says nothing; Get-VMHost refuses.
function Assert-Answer {
    [void] (Get-VMHost)
}

# As Hyper-V's WMI classes write it.
function Get-Key([guid] $id) {
    "$id".ToUpperInvariant()
}

function Get-System([guid] $id) {
    Get-CimInstance -Namespace $Wmi -ClassName Msvm_ComputerSystem -Filter "Name = '$(Get-Key $id)'"
}

function Get-Machine([guid] $id) {
    if ($null -eq (Get-System $id)) {
        Assert-Answer
        Stop-WithError 'not-found' "there is no VM $id"
    }
    Get-VM -Id $id
}

# Its worker process stands for one start of a VM: it ends with a save and with a shutdown, and goes
# on over a pause and a restart of the guest. None where it has just ended. When it began is 0 for
# who may not know that, each time.
function Get-Worker($system) {
    if ($null -eq $system) { return $null }
    $number = $system.ProcessID
    if (-not $number) { return $null }
    try {
        $process = Get-Process -Id $number
    } catch {
        return $null
    }
    try {
        $began = $process.StartTime.ToFileTimeUtc()
    } catch {
        $began = 0
    }
    "$number/$began"
}

# Each log by itself: one that is missing says nothing of the other, and none tells an order among
# them.
function Get-LastTurn([guid] $id) {
    $last = $null
    foreach ($log in $Logs) {
        try {
            $events = Get-WinEvent -FilterHashtable @{ LogName = $log; Id = $Turns } -MaxEvents 500
        } catch {
            continue
        }
        foreach ($entry in $events) {
            if ($entry.ToXml().IndexOf("$id", [System.StringComparison]::OrdinalIgnoreCase) -ge 0) {
                if (($null -eq $last) -or ($entry.TimeCreated -gt $last.TimeCreated)) {
                    $last = $entry
                }
                break
            }
        }
    }
    # Said, for a function that gives nothing at all gives what ConvertTo-Json of 5.1 writes as {}.
    if ($null -eq $last) { return $null }
    $last.Id
}

function Get-Component([guid] $id, [string] $class) {
    Get-CimInstance -Namespace $Wmi -ClassName $class -Filter "SystemName = '$(Get-Key $id)'"
}

# 2: it answers; 3: it answers, in an older protocol.
function Test-Component([guid] $id, [string] $class) {
    $component = Get-Component $id $class
    ($null -ne $component) -and ($component.EnabledState -eq 2) -and
        (@(2, 3) -contains @($component.OperationalStatus)[0])
}

function Get-Look([guid] $id) {
    $machine = Get-Machine $id
    $system = Get-System $id
    $state = "$($machine.State)"
    $end = $null
    if (@('Off', 'Hibernated') -contains $state) { $end = Get-LastTurn $id }
    @{
        state = $state
        status = @($machine.OperationalStatus | ForEach-Object { "$_" })
        worker = Get-Worker $system
        end = $end
        shutdown = Test-Component $id 'Msvm_ShutdownComponent'
    }
}

function Get-Traits([guid] $id) {
    $machine = Get-Machine $id
    @{
        # What a start takes. With dynamic memory it grows from there as the host has it to give:
        # the maximum is 1 TiB for who has set none.
        memory = [long] ($machine.MemoryStartup / 1048576)
        devices = @(Get-VMAssignableDevice -VM $machine | ForEach-Object { "$($_.LocationPath)" })
        folder = "$($machine.ConfigurationLocation)"
        autostart = "$($machine.AutomaticStartAction)"
    }
}

# "Microsoft:GUID of the VM\number", for as long as somebody is connected.
function Get-Viewers([guid] $id) {
    $all = Get-CimInstance -Namespace $Wmi -ClassName Msvm_TerminalConnection
    @{ viewers = @($all | ForEach-Object { "$($_.ConnectionID)" } |
        Where-Object { $_.IndexOf("$id", [System.StringComparison]::OrdinalIgnoreCase) -ge 0 }) }
}

# Never with Force: whoever has not saved his work would lose it.
function Invoke-Guest([guid] $id, [string] $method) {
    $component = Get-Component $id 'Msvm_ShutdownComponent'
    if ($null -eq $component) { return @{ returned = 32777 } }
    $why = @{ Force = $false; Reason = 'Guestwake' }
    $answer = Invoke-CimMethod -InputObject $component -MethodName $method -Arguments $why
    @{ returned = [long] $answer.ReturnValue }
}

# Start-VM and Resume-VM only warn where somebody else was quicker: whose start it is must not be
# told wrong.
function Assert-NoWarning($said) {
    if (@($said).Count -gt 0) { Stop-WithError 'InvalidState' "$(@($said)[0])" }
}

function Invoke-Verb([guid] $id, [string] $verb) {
    $machine = Get-Machine $id
    $done = @{ returned = 0 }
    $said = @()
    switch ($verb) {
        'start' {
            Start-VM -VM $machine -WarningVariable said
            Assert-NoWarning $said
            return $done
        }
        'resume' {
            Resume-VM -VM $machine -WarningVariable said
            Assert-NoWarning $said
            return $done
        }
        'pause' { Suspend-VM -VM $machine; return $done }
        'save' { Save-VM -VM $machine; return $done }
        'power-off' { Stop-VM -VM $machine -TurnOff; return $done }
        'shut-down' { return Invoke-Guest $id 'InitiateShutdown' }
        'restart' { return Invoke-Guest $id 'InitiateReboot' }
    }
    Stop-WithError 'NotSupported' "it cannot be asked to $verb"
}

function Get-Answer($ask) {
    Import-Commands
    switch ($ask.question) {
        'vms' {
            Assert-Answer
            return @{ vms = @(Get-VM | ForEach-Object { @{ id = "$($_.Id)"; name = $_.Name } }) }
        }
        'version' {
            Assert-Answer
            $version = [System.Environment]::OSVersion.Version
            return @{ version = @($version.Major, $version.Minor, $version.Build) }
        }
        'look' { return Get-Look $ask.vm }
        'traits' { return Get-Traits $ask.vm }
        'viewers' { return Get-Viewers $ask.vm }
        'clock' {
            [void] (Get-Machine $ask.vm)
            $component = Get-Component $ask.vm 'Msvm_TimeSyncComponent'
            return @{
                enabled = ($null -ne $component) -and ($component.EnabledState -eq 2)
                answers = Test-Component $ask.vm 'Msvm_TimeSyncComponent'
            }
        }
        'verb' { return Invoke-Verb $ask.vm $ask.verb }
    }
    Stop-WithError 'NotSupported' "nobody here knows '$($ask.question)'"
}

$utf8 = New-Object System.Text.UTF8Encoding $false
$reader = New-Object System.IO.StreamReader ([System.Console]::OpenStandardInput()), $utf8
$writer = New-Object System.IO.StreamWriter ([System.Console]::OpenStandardOutput()), $utf8
$writer.NewLine = "`n"

while ($null -ne ($line = $reader.ReadLine())) {
    $ask = ConvertFrom-Json $line
    $answer = @{ number = $ask.number }
    try {
        $answer.value = Get-Answer $ask
    } catch {
        $answer.error = "$($_.FullyQualifiedErrorId)"
        $answer.text = "$($_.Exception.Message)"
    }
    $writer.WriteLine((ConvertTo-Json -InputObject $answer -Depth 5 -Compress))
    $writer.Flush()
}
