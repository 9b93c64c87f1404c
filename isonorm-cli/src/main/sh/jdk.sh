# Sets JAVA_HOME to a JDK of 25 or newer: the one of JAVA_HOME, of PATH, or of a usual install folder, in this order.
# Sourced by ./isonorm, ./mvnw and .ci/run; reads the JDK's release file, because starting a JVM to ask it takes longer.

oldest_jdk=25

# The major version of the JDK in folder $1, in $jdk_major, and all of it in $jdk_version; fails if there is none.
read_jdk() {
    jdk_major= jdk_version=
    [ -x "$1/bin/java" ] && [ -x "$1/bin/javac" ] && [ -r "$1/release" ] || return 1
    local key value vendor=
    while IFS='=' read -r key value; do
        value=${value#\"}
        value=${value%%\"*}
        case $key in
            JAVA_VERSION) jdk_major=${value%%[!0-9]*} ;;
            JAVA_RUNTIME_VERSION) jdk_version=$value ;;
            IMPLEMENTOR) vendor=$value ;;
        esac
    done < "$1/release"
    [ -n "$jdk_major" ] || return 1
    jdk_version="${jdk_version:-$jdk_major} $vendor"
}

# The folder of the JDK whose java is on the PATH, through all links.
jdk_of_path() {
    local file target
    file=$(command -v java) || return 1
    while [ -L "$file" ]; do
        target=$(readlink "$file")
        case $target in
            /*) file=$target ;;
            *) file=$(dirname "$file")/$target ;;
        esac
    done
    (cd "$(dirname "$file")/.." 2> /dev/null && pwd -P)
}

find_jdk() {
    local candidate seen=
    if read_jdk "${JAVA_HOME-}" && [ "$jdk_major" -ge "$oldest_jdk" ]; then
        return 0
    fi
    for candidate in \
        "${JAVA_HOME-}" \
        "$(jdk_of_path)" \
        /usr/lib/jvm/* /usr/lib64/jvm/* /usr/java/* /opt/java/* /opt/jdk* /opt/*jdk* /usr/local/openjdk-* /usr/local/jdk* \
        "${HOME-}"/.sdkman/candidates/java/* "${HOME-}"/.jdks/* "${HOME-}"/.jabba/jdk/* "${HOME-}"/.asdf/installs/java/* \
        "${HOME-}"/.local/share/mise/installs/java/* \
        /opt/homebrew/opt/openjdk*/libexec/openjdk.jdk/Contents/Home /usr/local/opt/openjdk*/libexec/openjdk.jdk/Contents/Home \
        /Library/Java/JavaVirtualMachines/*/Contents/Home "${HOME-}"/Library/Java/JavaVirtualMachines/*/Contents/Home; do
        if [ -n "$candidate" ] && read_jdk "$candidate"; then
            if [ "$jdk_major" -ge "$oldest_jdk" ]; then
                export JAVA_HOME=$candidate
                return 0
            fi
            case $seen in *" $jdk_major"*) ;; *) seen="$seen $jdk_major" ;; esac
        fi
    done
    echo "isonorm: needs a JDK of $oldest_jdk or newer${seen:+ (found only$seen)}; install one, from https://adoptium.net for instance, and set JAVA_HOME to it" >&2
    return 1
}
