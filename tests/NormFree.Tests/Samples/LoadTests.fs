/// The sample service under load from this machine.
module NormFree.Tests.Samples.LoadTests

open System
open System.Collections.Concurrent
open System.Diagnostics
open System.Threading
open System.Threading.Tasks
open Expecto
open NormFree.Spec
open NormFree.Tests.Data.Support
open NormFree.Tests.Inference
open NormFree.Tests.Samples.Service
open NormFree.Tests.Samples.Support

let private clients = 64

/// What the clients and the service's memory did: seconds of each request, and bytes about every quarter of a second.
type private Load = { Times: float[]; Memory: float[] }

/// One client: posts the photo until the time is over, and requires the same answer every time.
let private client (service: Service) photo expected (times: ConcurrentBag<float>) (ending: CancellationToken) =
    task {
        while not ending.IsCancellationRequested do
            let clock = Stopwatch.StartNew()
            let! status, _, text = service.PostAsync("/classify?top=1", photo)
            times.Add clock.Elapsed.TotalSeconds
            Expect.equal (status, text) (200, expected) "an answer"
    }

let private memory (service: Service) (ending: CancellationToken) =
    task {
        let samples = ResizeArray()

        while not ending.IsCancellationRequested do
            let! metrics = service.MetricsAsync()
            samples.Add metrics["process_resident_memory_bytes"]
            do! Task.Delay 250

        return samples.ToArray()
    }

let private run (service: Service) photo (seconds: float) =
    task {
        let! status, _, expected = service.PostAsync("/classify?top=1", photo)
        Expect.equal status 200 expected
        use ending = new CancellationTokenSource(TimeSpan.FromSeconds seconds)
        let times = ConcurrentBag()
        let work = [ for _ in 1..clients -> client service photo expected times ending.Token :> Task ]
        let! samples = memory service ending.Token
        do! Task.WhenAll work
        return { Times = Seq.toArray times |> Array.sort; Memory = samples }
    }

let private percentile share (sorted: float[]) = sorted[int (share * float (sorted.Length - 1))]

let private show (seconds: float) load =
    let ms share = 1000.0 * percentile share load.Times
    let memory = Array.map (fun bytes -> bytes / 1e6) load.Memory

    $"{clients} clients, {seconds} s: {float load.Times.Length / seconds:F0} answers per second; median {ms 0.5:F0} ms, \
      99th percentile {ms 0.99:F0} ms, \
      longest {ms 1.0:F0} ms; memory {memory[memory.Length / 4]:F0} MB after a quarter, {Array.last memory:F0} MB at the end, \
      {Array.max memory:F0} MB at most"

/// The largest memory of the last half is at most that of the second quarter and a tenth more.
let private isFlat (samples: float[]) =
    let quarter = samples.Length / 4
    let before, after = samples[quarter .. 2 * quarter], samples[2 * quarter ..]
    Expect.isLessThan (Array.max after) (1.1 * Array.max before + 10e6) $"memory grows: {samples}"

let tests =
    test $"{clients} clients for two seconds get the same answers" {
        use folder = new TempFolder()
        use service = new Service(sample, [ "--network"; write folder "tiny.packed.safetensors" Models.tiny ])
        let load = (run service (drawn 3 64 48 |> jpeg 90) 2.0).Result
        Expect.isGreaterThan load.Times.Length (2 * clients) "answers"
        Expect.isLessThan (Array.max load.Memory) 500e6 "memory"
    }

let soak =
    test $"the service holds {clients} clients for a minute without errors, and its memory stays flat" {
        use folder = new TempFolder()
        let network = write folder "reactnet18.packed.safetensors" (pack 32 ReActNet.cifar18)
        use service = new Service(sample, [ "--network"; network ])
        let load = (run service (drawn 3 640 480 |> jpeg 90) 60.0).Result
        printfn $"service: {show 60.0 load}"
        isFlat load.Memory
    }
