@echo off
rem Starts Isonorm with the Java runtime that lies beside it. ISONORM_JAVA_OPTS holds further JVM options.
setlocal
set "home=%~dp0"
set "home=%home:~0,-1%"

set "engine="
for %%c in (tour pull convert export verify eval score generate serve forward embed train data compare depth prune quantize bench doctor) do if "%~1"=="%%c" set "engine=yes"
set flags=-XX:TieredStopAtLevel=1 "-XX:AOTCache=%home%\app\start.aot" -XX:AOTMode=auto
if defined engine set flags="@%home%\app\jvm.args" -Djava.awt.headless=true "-XX:SharedArchiveFile=%home%\app\engine.jsa"

"%home%\runtime\bin\java.exe" -XX:+UseSerialGC -XX:-UsePerfData -Dstdout.encoding=UTF-8 -Dstderr.encoding=UTF-8 %flags% -Xlog:disable "-Disonorm.home=%home%" "-Disonorm.natives=%home%\app\natives" -Disonorm.command=isonorm %ISONORM_JAVA_OPTS% -cp "%home%\app\isonorm.jar" isonorm.cli.Main %*
exit /b %errorlevel%
