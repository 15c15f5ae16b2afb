/// Packed networks with many callers, interruption, cancellation and disposal.
module NormFree.Tests.Inference.PackedConcurrencyTests

open System
open System.Threading
open Expecto
open NormFree.Inference
open NormFree.Tests.Data.Support
open NormFree.Tests.Inference.PackedRuns

/// Threads of this process that belong to packed networks, by their names.
let private networkThreads () =
    System.IO.Directory.GetDirectories "/proc/self/task"
    |> Array.sumBy (fun task ->
        try
            if (System.IO.File.ReadAllText(task + "/comm")).StartsWith "nf-packed" then
                1
            else
                0
        with :? System.IO.IOException ->
            0)

[<System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.NoInlining)>]
let private abandonNetworks count image =
    for _ in 1..count do
        logits (load best 2 Models.tiny) image |> ignore

let rec private collectUntil deadline condition =
    GC.Collect()
    GC.WaitForPendingFinalizers()

    if condition () then
        true
    elif DateTime.UtcNow > deadline then
        false
    else
        Thread.Sleep 20
        collectUntil deadline condition

let tests =
    testList
        "PackedNetwork"
        [ for seed in [ 12UL; 15UL ] do
              for threads in [ 1; 2; 16 ] do
                  testCase $"model {seed} on {threads} threads: 16 callers at the same time get the bits of one alone"
                  <| fun () ->
                      let model = RandomModels.ofSeed seed
                      let images = [| for i in 0..15 -> RandomModels.images (uint64 i) (1 + i % 4) model |]
                      let expected = using (load best 1 model) (fun alone -> images |> Array.map (logits alone))
                      use network = load best threads model

                      inParallel 16 (fun i ->
                          for _ in 1..30 do
                              equalBits (logits network images[i]) expected[i] $"caller {i}")

          testCase "an interrupted caller gets its logits first and the interruption afterwards"
          <| fun () ->
              use network = load best 2 Models.tiny
              let images = RandomModels.images 5UL 8 Models.tiny
              let expected = logits network images
              let mutable interruptions, wrong, ended = 0, 0, false

              let caller =
                  Thread(fun () ->
                      while not ended do
                          try
                              if logits network images <> expected then
                                  wrong <- wrong + 1

                              Thread.Sleep 0
                          with :? ThreadInterruptedException ->
                              interruptions <- interruptions + 1)

              caller.Start()

              for _ in 1..200 do
                  caller.Interrupt()
                  Thread.Sleep 1

              ended <- true
              Expect.isTrue (caller.Join 10_000) "the caller ends"
              Expect.equal wrong 0 "all logits are right"
              Expect.isGreaterThan interruptions 0 "it was interrupted"

          testCase "a cancelled run throws, and the next one is right"
          <| fun () ->
              let images = RandomModels.images 5UL 7 Models.tiny

              for threads in 1..3 do
                  use network = load best threads Models.tiny
                  let expected = logits network images
                  let result = zeros (7 * network.Classes)
                  let cancelled = CancellationToken true

                  for _ in 1..3 do
                      Expect.throwsT<OperationCanceledException>
                          (fun () -> network.Run(images, result, cancelled))
                          "cancelled"

                      equalBits (logits network images) expected $"after cancellation, {threads} threads"

          testCase "a long run ends when it is cancelled"
          <| fun () ->
              let model = limitModel 256 [] [ pool "p" 63 ]

              for threads in 1..2 do
                  use network = load best threads model
                  let images, result = zeros (101 * 256 * 256), zeros 101 // about a minute
                  use source = new CancellationTokenSource(50)

                  Expect.throwsT<OperationCanceledException>
                      (fun () -> network.Run(images, result, source.Token))
                      $"{threads} threads"

          testSequenced (
              testCase "threads end with a network that nobody disposed"
              <| fun () ->
                  let image = RandomModels.images 5UL 1 Models.tiny
                  abandonNetworks 300 image
                  let few () = networkThreads () < 30

                  Expect.isTrue
                      (collectUntil (DateTime.UtcNow.AddSeconds 30.0) few)
                      $"{networkThreads ()} threads are left"
          )

          testCase "disposing waits for runs in progress and rejects later ones"
          <| fun () ->
              let network = load best 2 Models.tiny
              let images = RandomModels.images 5UL 64 Models.tiny
              let expected = logits network images
              let mutable rejected = 0

              inParallel 3 (fun caller ->
                  if caller = 0 then
                      Thread.Sleep 20
                      network.Dispose()
                  else
                      try
                          while true do
                              equalBits (logits network images) expected "while others dispose"
                      with :? ObjectDisposedException ->
                          Interlocked.Increment &rejected |> ignore)

              Expect.equal rejected 2 "callers that were rejected"
              network.Dispose()

              fails<ObjectDisposedException> "PackedNetwork" (fun () ->
                  network.RunLayer(0, zeros 0, 1, 1, zeros 0, Span.Empty)) ]
