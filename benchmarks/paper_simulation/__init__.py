"""The paper's market by calibrated simulation: how well must jurors have ranked plans for its tables to come out?"""
