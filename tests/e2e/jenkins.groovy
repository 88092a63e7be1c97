// Runs a declarative Jenkinsfile without Jenkins: stages in turn, each sh step by a shell, and post
// whatever happened. Knows what our example uses; any other word is an error.
//     groovy jenkins.groovy JENKINSFILE      with GIT_COMMIT and BRANCH_NAME in the environment

class Pipeline {
    Map env = new TreeMap(System.getenv())
    Throwable failure
    boolean wanted

    private void inside(Closure body, Object delegate = this) {
        body.delegate = delegate
        body.resolveStrategy = Closure.DELEGATE_FIRST
        body()
    }

    void pipeline(Closure body) {
        inside(body)
        if (failure)
            throw failure
    }
    def getAny() { 'any' }
    void agent(String label) {}
    void options(Closure body) { inside(body) }
    void disableConcurrentBuilds() {}
    void timeout(Map limit) { assert limit.time > 0 && limit.unit == 'MINUTES' }
    void environment(Closure body) { inside(body, new Environment(env: env)) }
    void stages(Closure body) {
        try {
            inside(body)
        } catch (any) {
            failure = any
        }
    }
    void stage(String name, Closure body) {
        wanted = true
        println "stage: $name"
        inside(body)
    }
    void when(Closure body) { inside(body) }
    void branch(String name) { wanted = name == env.BRANCH_NAME }
    void steps(Closure body) { if (wanted) inside(body) }
    void post(Closure body) { inside(body) }
    void always(Closure body) { inside(body) }

    void sh(String command) {
        def builder = new ProcessBuilder('sh', '-xec', command).inheritIO()
        env.each { name, value -> builder.environment()[name] = value.toString() }
        int status = builder.start().waitFor()
        if (status)
            throw new IllegalStateException("sh: status $status: $command")
    }
    void archiveArtifacts(Map what) {
        assert new File(what.artifacts).length() > 0
        println "archived: $what.artifacts"
    }
}

class Environment {
    Map env

    void setProperty(String name, value) { this.@env[name] = value }
}

def script = new GroovyShell(new Binding()).parse(new File(args[0]))
def run = new Pipeline()
script.metaClass.methodMissing = { String name, arguments -> run.invokeMethod(name, arguments) }
script.run()
