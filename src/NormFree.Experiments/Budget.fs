namespace NormFree.Experiments

open NormFree.Runs
open NormFree.Spec

/// <summary>How much an experiment trains, and where its page goes.</summary>
type Budget =
    {
        /// Of each stage.
        Epochs: int
        Seeds: int
        /// Training images, the same number of each class.
        Limit: int
        TestLimit: int
        /// Share of the network's channels.
        Width: float
        Batch: int
        /// Side of the network's input in pixels.
        Size: int
        LearningRate: float
        /// CUDA uses the composite engine; the fused engine is for CPUs.
        Device: Device
        /// None: <c>experiments/results/SCRIPT.md</c>.
        Page: string option
    }

/// <summary>Budgets, their command-line options, and what follows from them.</summary>
[<RequireQualifiedAccess>]
module Budget =

    /// <summary>ReActNet-18 on 32×32 images: about an hour on two cores.</summary>
    let cifar =
        { Epochs = 10
          Seeds = 2
          Limit = 10000
          TestLimit = 2000
          Width = 0.5
          Batch = 64
          Size = 32
          LearningRate = 1e-3
          Device = Cpu
          Page = None }

    /// <summary>Every field as an option.</summary>
    let options: ScriptOption<Budget> list =
        [ ScriptOptions.count "--epochs" (fun b n -> { b with Epochs = n })
          ScriptOptions.count "--seeds" (fun b n -> { b with Seeds = n })
          ScriptOptions.count "--limit" (fun b n -> { b with Limit = n })
          ScriptOptions.count "--test-limit" (fun b n -> { b with TestLimit = n })
          ScriptOptions.number "--width" (fun b x -> { b with Width = x })
          ScriptOptions.count "--batch" (fun b n -> { b with Batch = n })
          ScriptOptions.count "--size" (fun b n -> { b with Size = n })
          ScriptOptions.number "--lr" (fun b x -> { b with LearningRate = x })
          ScriptOptions.choice "--device" [ "cpu", Cpu; "cuda", Cuda ] (fun b device -> { b with Device = device })
          ScriptOptions.markdown "--out" (fun b file -> { b with Page = Some file }) ]

    /// <summary>The corrected recipe with the budget's epochs, batch and learning rate.</summary>
    let recipe (budget: Budget) =
        { Recipe.corrected with
            Epochs = budget.Epochs
            Batch = budget.Batch
            LearningRate = budget.LearningRate
            Schedule = Cosine }

    /// <summary>ReActNet-18 for 32×32 images of 10 classes, in the budget's width.</summary>
    let reactNet18 (budget: Budget) =
        ReActNet.reactNet18 { Size.Full with Width = budget.Width } CifarStem |> Net.withClasses 10

    /// <summary>CPUs use the fused engine, GPUs the composite one.</summary>
    let execution (budget: Budget) = if budget.Device = Cpu then Execution.Default else Execution.Portable
