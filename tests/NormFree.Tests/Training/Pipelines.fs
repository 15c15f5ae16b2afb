/// Shared by the tests of pipelines: images, plans and interruptions.
module NormFree.Tests.Training.Pipelines

open System
open System.Threading
open Expecto
open NormFree.Data
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Training.Support

let data = lazy (Synthetic.dataset 3L 120 40)

/// Runs both stages of a plan.
let both recipe net plan =
    plan |> Pipeline.train { recipe with WeightDecay = 1e-5 } net |> Pipeline.binariseWeights recipe

let few = lazy (Synthetic.dataset 3L 60 20)

let into folder = Pipeline.from data.Value |> Pipeline.into folder

let runOptions change (plan: Plan) = { plan with Options = change plan.Options }

let stageNames (history: EpochRecord list) = history |> List.map (fun r -> $"{r.Stage} {r.Epoch}/{r.Epochs}")

let fourEpochs =
    [ "activations 1/2"; "activations 2/2"; "activations+weights 1/2"; "activations+weights 2/2" ]

exception Interrupted

/// Stops a plan at its nth finished epoch or step, by its token or by an exception in its event handler.
let interrupted byToken isEvent n (plan: Plan) =
    let source = new CancellationTokenSource()
    let mutable count = 0

    plan
    |> runOptions (fun a ->
        { a with
            Cancellation = source.Token
            OnEvent =
                fun event ->
                    if isEvent event then
                        count <- count + 1

                        if count = n then
                            if byToken then source.Cancel() else raise Interrupted })

let epochs =
    function
    | EpochDone _ -> true
    | _ -> false

let steps =
    function
    | StepDone _ -> true
    | _ -> false

let stops recipe net plan =
    try
        both recipe net plan |> useTrained ignore
        failtest "the run was not interrupted"
    with
    | Interrupted
    | :? OperationCanceledException -> ()
