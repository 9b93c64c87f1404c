// A project that uses Isonorm from its class path: gradle run runs the class of ../maven-project.
plugins {
    application
}

repositories {
    mavenLocal() // where ./mvnw install puts what this checkout builds
    mavenCentral()
}

java {
    toolchain {
        languageVersion = JavaLanguageVersion.of(25)
    }
}

sourceSets {
    main {
        java.srcDir("../maven-project/src/main/java")
        java.exclude("module-info.java")
    }
}

dependencies {
    implementation(platform("io.github.isonorm:isonorm-bom:0.1.0"))
    implementation("io.github.isonorm:isonorm-engine")
    // The platforms it runs on: linux-x86_64, linux-arm64, macosx-arm64, macosx-x86_64, windows-x86_64.
    runtimeOnly("io.github.isonorm:isonorm-natives-linux-x86_64")
}

// What java is to be given is a file in the engine's jar.
val javaOptions by tasks.registering(Copy::class) {
    from({ configurations.runtimeClasspath.get().filter { it.name.startsWith("isonorm-engine") }.map { zipTree(it) } }) {
        include("isonorm/jvm.args")
    }
    into(layout.buildDirectory)
}

application {
    mainClass = "example.Example"
    applicationDefaultJvmArgs = listOf("@${layout.buildDirectory.get().asFile}/isonorm/jvm.args")
}

tasks.named<JavaExec>("run") {
    dependsOn(javaOptions)
    args("../shakespeare-gpt2", layout.buildDirectory.dir("converted").get().asFile)
}
