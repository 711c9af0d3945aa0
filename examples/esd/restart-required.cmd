@echo off
rem A restart is required: for an ESD system's batch file, in a Windows guest.
rem Where guestwake-guest.exe is not on the PATH, restart-required.ps1 does the same.
guestwake-guest require-restart
if errorlevel 1 echo It could not be said: does the Guest Update Service run here? 1>&2
exit /b %errorlevel%
