@echo off
rem Starts Isonorm from a checkout on Windows: builds it where that was not done, and runs the command line. Sources that changed since are built by
rem   mvnw.cmd -DskipTests -pl isonorm-cli -am package
rem ISONORM_JAVA_OPTS holds further JVM options.
setlocal
set "home=%~dp0"
set "home=%home:~0,-1%"
set "jar=%home%\isonorm-cli\target\isonorm.jar"

set "java=java"
if defined JAVA_HOME set "java=%JAVA_HOME%\bin\java"
"%java%" --version > nul 2> nul
if errorlevel 1 (
    echo isonorm: needs a JDK of 25 or newer; install one, from https://adoptium.net for instance, and set JAVA_HOME to it 1>&2
    exit /b 1
)

if not exist "%jar%" (
    echo building Isonorm ^(first use, about a minute^) ... 1>&2
    pushd "%home%"
    call mvnw.cmd -q -B -DskipTests -Dspotless.check.skip -pl isonorm-cli -am package 1>&2
    popd
)
if not exist "%jar%" (
    echo isonorm: the build failed; what it said stands above 1>&2
    exit /b 1
)

set "engine="
for %%c in (tour pull convert export verify eval score generate serve forward embed train data compare depth prune quantize bench doctor) do if "%~1"=="%%c" set "engine=yes"
set flags=-XX:TieredStopAtLevel=1
if defined engine set flags="@%home%\isonorm-engine\src\main\resources\isonorm\jvm.args" -Djava.awt.headless=true

"%java%" -XX:+UseSerialGC -XX:-UsePerfData -Dstdout.encoding=UTF-8 -Dstderr.encoding=UTF-8 %flags% "-Disonorm.home=%home%" -Disonorm.command=isonorm %ISONORM_JAVA_OPTS% -cp "%jar%" isonorm.cli.Main %*
exit /b %errorlevel%
