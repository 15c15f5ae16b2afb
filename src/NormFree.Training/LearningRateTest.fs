namespace NormFree.Training

open System
open NormFree.Data
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open TorchSharp

/// <summary>One step of a range test.</summary>
type RateTrial =
    {
        Rate: float
        /// The training loss, smoothed over about ten steps.
        Loss: float
    }

/// <summary>The result of a learning-rate range test.</summary>
type RateTest =
    {
        Trials: RateTrial list
        /// None if the loss never fell.
        Suggestion: float option
    }

/// <summary>A learning-rate range test: the rate grows from step to step until the loss explodes.</summary>
/// <remarks>Smith, "Cyclical learning rates for training neural networks" (WACV 2017), section 3.3. The suggestion is a tenth of the rate at which the
/// smoothed loss is lowest.</remarks>
[<RequireQualifiedAccess>]
module LearningRateTest =

    let private lowest, private highest, private steps = 1e-6, 1.0, 100

    /// The share of the earlier mean in an exponential moving average.
    let private memory = 0.9

    /// The test ends when the loss exceeds its minimum by this factor.
    let private explosion = 4.0

    /// Exponential moving averages without the bias of their start at 0, after Kingma and Ba (2015).
    let private smooth (losses: float seq) =
        ((0.0, 0, 0.0), losses)
        ||> Seq.scan (fun (average, count, _) loss ->
            let average = memory * average + (1.0 - memory) * loss
            average, count + 1, average / (1.0 - memory ** float (count + 1)))
        |> Seq.tail
        |> Seq.map (fun (_, _, smoothed) -> smoothed)

    /// <summary>The rates and smoothed losses up to the explosion, and the suggestion.</summary>
    let internal evaluate (trials: (float * float) seq) : RateTest =
        let trials = Seq.cache trials
        let smoothed = Seq.zip (Seq.map fst trials) (smooth (Seq.map snd trials))

        let kept =
            ([], smoothed)
            ||> Seq.scan (fun earlier (rate, loss) -> { Rate = rate; Loss = loss } :: earlier)
            |> Seq.tail
            |> Seq.takeWhile (fun trials ->
                let loss = trials.Head.Loss
                Double.IsFinite loss && loss <= explosion * (trials |> List.map _.Loss |> List.min))
            |> Seq.tryLast
            |> Option.defaultValue []
            |> List.rev

        let best = if kept.IsEmpty then None else Some(List.minBy _.Loss kept)

        { Trials = kept
          Suggestion =
            best
            |> Option.filter (fun best -> best.Loss < 0.95 * kept.Head.Loss)
            |> Option.map (fun best -> Math.Round(best.Rate / 10.0, 2 + int (ceil -(log10 (best.Rate / 10.0))))) }

    /// The batches of shuffled epochs, without end.
    let private batches (plan: Plan) (recipe: Recipe) (source: ImageSource) =
        let loading =
            { Loader.training plan.Dataset recipe.Batch with
                Seed = recipe.Seed
                Workers = plan.Options.Workers }

        Seq.initInfinite (fun epoch ->
            Loader.shuffled recipe.Seed epoch source.Count
            |> Loader.read { loading with Epoch = epoch; Cancellation = plan.Options.Cancellation } source)
        |> Seq.concat
        |> Seq.filter (fun batch -> batch.Count > 0)

    /// One step at this rate. Returns the loss before it.
    let private step (plan: Plan) (recipe: Recipe) (network: Network) (optimisation: Optimisation) gradients =
        let centering = SignCentering(recipe, network)

        fun (rate: float) (batch: Batch) ->
            use _ = torch.NewDisposeScope()
            let images, labels = Evaluation.tensors network batch
            let hooks = if network.IsFrozen then [] else [ centering.Hook ]
            let result = (gradients: GradientStep).Run(images, labels, 0, hooks)
            optimisation.Clip()
            optimisation.Move rate

            if not network.IsFrozen then
                // At full strength in every step: it does not depend on the rate.
                centering.Apply(plan.Options.Ranks, recipe.LearningRate) |> ignore

            result.Sums.Accuracy.Loss

    /// <summary>Runs the test on the first stage of a training. Nothing is written.</summary>
    /// <remarks>Throws as <c>Pipeline.trainFrom</c> does.</remarks>
    let run binarise (init: string option) (recipe: Recipe) (net: NetSpec) (plan: Plan) : RateTest =
        if plan.Options.Ranks.Size > 1 then
            raise (TrainingException "A learning-rate range test runs in one process: start it without mpirun.")

        match recipe.Loss with
        | Distillation _ ->
            raise (
                TrainingException
                    "A range test needs labels: test the learning rate with --loss ce, then distil with it."
            )
        | _ -> ()

        let number = if binarise = ActivationsAndWeights then 2 else 1
        let recipe, net, initialise = Pipeline.prepare binarise number init recipe net plan

        use network =
            Network.create torch.ScalarType.Float32 recipe.Deviations.BinaryInit recipe.Seed net
            |> StageRun.place plan

        initialise network
        use optimisation = new Optimisation(recipe, network)

        use gradients =
            new GradientStep(plan.Options.Ranks, plan.Options.Accumulate, network, TrainingLoss.ofRecipe recipe None)

        let step = step plan recipe network optimisation gradients
        let rate i = lowest * (highest / lowest) ** (float i / float (steps - 1))

        batches plan recipe (fst (StageImages.split recipe plan.Dataset))
        |> Seq.truncate steps
        |> Seq.mapi (fun i batch -> rate i, step (rate i) batch)
        |> evaluate
